"""After a change of rules: what was judged wrong is put right, and a dry run changes nothing."""

from newsletter.bounces.models import Bounce, ReportKind
from newsletter.bounces.rejudge import rejudge
from newsletter.db import db
from newsletter.mail.replies.rules import VERSION
from newsletter.subscribers.models import SuppressionReason
from newsletter.subscribers.suppressions import find_suppression, suppress
from tests.support.clock import NOW


def test_who_was_given_up_wrongly_is_given_back(sent, bounce):
    _campaign, person = copy = sent()
    bounce(copy, "postfix-mailbox-full")
    row = db.session.query(Bounce).one()
    row.kind, row.rules = ReportKind.HARD, None
    suppress(person.address_key, SuppressionReason.BOUNCED, NOW)
    db.session.commit()

    dry = rejudge(NOW, dry_run=True)

    assert (dry.given_back, find_suppression(person.address_key) is None) == (1, False)

    done = rejudge(NOW, dry_run=False)

    db.session.refresh(row)
    assert dict(done.changed) == {("hard", "soft"): 1}
    assert (row.kind, row.rules, find_suppression(person.address_key)) == (ReportKind.SOFT, VERSION, None)
    assert rejudge(NOW, dry_run=False).looked_at == 0


def test_who_was_written_to_for_ever_is_given_up(sent, bounce):
    _campaign, person = copy = sent()
    bounce(copy)
    row = db.session.query(Bounce).one()
    row.kind, row.rules, row.raw = ReportKind.OURS, 0, None
    lifted = find_suppression(person.address_key)
    db.session.delete(lifted)
    db.session.commit()

    assert rejudge(NOW, dry_run=False).suppressed == 1
    assert find_suppression(person.address_key) is not None
