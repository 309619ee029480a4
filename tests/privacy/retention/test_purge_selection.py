"""RP-2, RP-3: who bounced or complained goes too; who is restricted or held is passed over and counted."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.durable import restore_journal
from newsletter.privacy.models import Hold, PurgeCandidate, PurgeRun
from newsletter.privacy.retention.purge import last_run, purge_if_due, run_purge
from newsletter.privacy.retention.purge_selection import count_left_out
from newsletter.subscribers.models import SuppressionReason
from newsletter.subscribers.suppressions import suppress
from tests.privacy.purging import DUE, LEFT, addresses
from tests.support.clock import NOW


@pytest.fixture
def hold(app):
    """Put a person's data on hold."""

    def put(person, **columns):
        db.session.add(
            Hold(
                **{
                    "subscriber_id": person.id,
                    "reason_code": "invoice",
                    "text": "Lasku 12",
                    "created_at": DUE - timedelta(days=20),
                    "actor": "staff:1",
                }
                | columns
            )
        )
        db.session.commit()

    return put


@pytest.mark.parametrize("reason", [SuppressionReason.BOUNCED, SuppressionReason.COMPLAINED])
def test_rp2_who_bounced_or_complained_goes(real_app, make_subscriber, reason):
    make_subscriber("eero@example.com")
    make_subscriber("aino@example.com")
    suppress("eero@example.com", reason, DUE - timedelta(days=3))
    db.session.commit()

    run_purge(now=DUE, actor="console")

    assert addresses() == ["aino@example.com"]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_who_is_blocked_for_another_reason_stays_while_subscribed(real_app, make_subscriber):
    make_subscriber("eero@example.com")
    suppress("eero@example.com", SuppressionReason.OBJECTED, DUE - timedelta(days=3))
    db.session.commit()

    run_purge(now=DUE, actor="console")

    assert addresses() == ["eero@example.com"]


def test_rp3_restricted_and_held_are_passed_over_and_listed(real_app, make_subscriber, hold):
    make_subscriber("eero@example.com", status=LEFT, restricted_at=DUE - timedelta(days=9))
    hold(make_subscriber("iines@example.com", status=LEFT))
    hold(make_subscriber("oiva@example.com", status=LEFT), ended_at=DUE - timedelta(days=1))
    make_subscriber("restricted-but-here@example.com", restricted_at=DUE - timedelta(days=9))
    expected = count_left_out(DUE)

    run_purge(now=DUE, actor="console")

    assert addresses() == ["eero@example.com", "iines@example.com", "restricted-but-here@example.com"]
    assert last_run().left_out == expected == {"restricted": 1, "held": 1}


@pytest.mark.parametrize("engine", ["sqlite"])
def test_who_comes_back_while_it_runs_stays(real_app, make_list, make_subscriber, sign_up, finnish):
    """Their turn was written down, and then they asked for the newsletter again."""
    person = make_subscriber("eero@example.com", [finnish], status=LEFT)
    run = PurgeRun(started_at=NOW + timedelta(minutes=1), is_gathered=True)
    db.session.add_all([run, PurgeCandidate(subscriber_id=person.id)])
    sign_up("eero@example.com")
    db.session.commit()

    purge_if_due(NOW)

    assert addresses() == ["eero@example.com"]
    assert db.session.scalars(sa.select(PurgeCandidate)).all() == []


def test_each_one_who_goes_is_noted_outside_the_database(real_app, make_subscriber):
    person = make_subscriber("eero@example.com", status=LEFT)
    known = (person.id, person.created_at, person.address_hash)

    run_purge(now=DUE, actor="console")

    (line,) = restore_journal.read()
    assert (line.id, line.since, line.hash, line.at) == (*known, DUE)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_the_journal_is_forgotten_with_the_backups(real_app, make_subscriber):
    make_subscriber(status=LEFT)
    run_purge(now=DUE, actor="console")

    assert [restore_journal.delete_expired(DUE + timedelta(days=days)) for days in (42, 43)] == [0, 1]
    assert list(restore_journal.read()) == []
