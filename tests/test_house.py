"""Rules that hold for the whole product, of RP-2 and RD-3 among others."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from newsletter import retention
from newsletter.bounces.models import ReportKind
from newsletter.db import Base, UtcDateTime, db
from newsletter.mail.outbox import deliver_due
from newsletter.privacy.audit_log.action_labels import ACTION_LABELS
from newsletter.privacy.everyone import collect_personal_data
from newsletter.privacy.export.labels import FIELD_LABELS, SECTION_LABELS, VALUE_LABELS
from newsletter.privacy.models import RequestKind
from newsletter.privacy.retention.erasure import erase_person
from newsletter.privacy.retention.schedule import columns_by_rule
from newsletter.retention import RULES
from newsletter.sending.models import DeliveryStatus
from newsletter.subscribers.models import ConsentKind, SubscriptionStatus, TrackingState
from newsletter.tracking.models import EventKind, Link, MachineClass
from tests.support.apps import on_its_own
from tests.support.clock import NOW
from tests.support.gateway import gateway_of
from tests.support.server import ROOT

PERSON = 7_654_321
ADDRESS = "canary-address@example.com"


def personal_columns(*, of_staff):
    """Name the columns that tell something of members of staff, or of everybody else."""
    rules = (retention.STAFF, retention.STAFF_SESSION, retention.INVITATION)
    return {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.info.get("personal") and (column.info.get("retention") in rules) is of_staff
    }


PERSONAL = personal_columns(of_staff=False)
#: Kept on purpose: the log of acts names people by number alone (it is never rewritten), and the
#: proof of consent stands under the keyed hash of the address.
STAYS = {"audit.object", "consents.address_hash"}
#: Known to the person already, or made from what is exported.
NOT_EXPORTED = {
    "address_parts.part",
    "subscribers.address_key",
    "subscribers.address_hash",
    "events.subscriber_id",
    "link_readers.subscriber_id",
    "recent_clicks.subscriber_id",
    "outbox.address",
    "outbox.context",
}


#: What a row of these has to look like for the product to work with it.
SHAPES: dict[str, dict[str, Any]] = {
    "audit": {"object": f"subscriber:{PERSON}"},
    "bounces": {"kind": ReportKind.HARD},
    "consents": {"kind": ConsentKind.CONFIRMED},
    "holds": {"ended_at": NOW},
    "outbox": {
        "template": "activated",
        "language": "fi",
        "address": ADDRESS,
        "context": {
            "lists": ["Uutiset"],
            "preferences_url": "https://news.example/preferences/canary-link",
            "unsubscribe_url": "https://news.example/unsubscribe/canary-link",
        },
    },
}


@pytest.fixture
def canary(real_app, make_list, make_subscriber, make_campaign, now):
    """A person with something in every personal column, each with "canary" or their number in it."""
    mailing_list = make_list()
    person = make_subscriber(ADDRESS, [mailing_list], id=PERSON, address_hash="canary-hash")
    edition = make_campaign([mailing_list]).editions[0]
    db.session.add(Link(edition_id=edition.id, number=1, url="https://www.kirjakauppa.example/uutiset"))
    db.session.flush()
    for table in Base.metadata.sorted_tables:
        if table.name != "subscribers" and any(
            f"{table.name}.{column.name}" in PERSONAL for column in table.columns
        ):
            row = {column.name: fitting(column, now) for column in table.columns if is_needed(column)}
            db.session.execute(sa.insert(table), row | SHAPES.get(table.name, {}))
    db.session.commit()
    return person


def is_needed(column):
    """Tell whether a row of a person has to say something here."""
    made_by_itself = column.autoincrement is True or column.default is not None or column.name == "id"
    return (
        bool(column.info.get("personal"))
        or column.name == "subscriber_id"
        or not (column.nullable or made_by_itself)
    )


def fitting(column, now):
    """Return a value for a column: a canary in a personal one, else whatever it takes."""
    if column.name == "subscriber_id":
        return PERSON
    if column.info.get("personal"):
        return f"canary-{column.table.name}-{column.name}"
    if column.foreign_keys:
        (key,) = column.foreign_keys
        return db.session.scalar(sa.select(key.column).limit(1))
    if isinstance(column.type, sa.Enum):
        return next(iter(column.type.enum_class or ()))
    if isinstance(column.type, UtcDateTime):
        return now
    return {int: 1, bool: False, str: "x", date: now.date()}[column.type.python_type]


def columns_with_canaries():
    """Look through every column of every table."""
    found = set()
    for table in Base.metadata.tables.values():
        for row in db.session.execute(sa.select(table)).mappings():
            found |= {
                f"{table.name}.{name}"
                for name, value in row.items()
                if "canary" in str(value) or str(PERSON) in str(value)
            }
    db.session.rollback()
    return found


def test_the_canary_sits_in_every_personal_column(canary):
    assert PERSONAL - columns_with_canaries() == set()


def test_rp2_erasing_a_person_empties_every_personal_column(canary, now):
    erase_person(ADDRESS, now=now, actor="staff:1")

    assert columns_with_canaries() == STAYS


def test_everybody_else_stays(canary, make_subscriber, now):
    other = make_subscriber("toinen@example.com", [canary.subscriptions[0].mailing_list])

    erase_person(ADDRESS, now=now, actor="staff:1")

    db.session.refresh(other)
    assert (other.address, len(other.subscriptions)) == ("toinen@example.com", 1)


def test_no_file_keeps_anything_of_an_erased_person(canary, real_app, now):
    on_its_own(real_app, deliver_due)
    gateway_of(real_app).spool.append(b'[1772530200000,"open",1,7654321,null,"canary-ip","canary-agent"]\n')
    gateway_of(real_app).spool.close()

    erase_person(ADDRESS, now=now, actor="staff:1")

    files = [path for path in Path(real_app.instance_path).rglob("*") if path.is_file()]
    kept = [path.name for path in files if b"canary-" in path.read_bytes().replace(b"canary-hash", b"")]
    assert kept == []


def test_rd3_every_personal_column_is_exported(canary):
    exported = json.dumps(collect_personal_data(canary))

    missing = set()
    for name in PERSONAL - NOT_EXPORTED:
        table = Base.metadata.tables[name.partition(".")[0]]
        column = table.columns[name.partition(".")[2]]
        (value,) = [found for found in db.session.scalars(sa.select(column)) if found is not None]
        missing |= {name} if str(value) not in exported else set()
    assert missing == set()


def test_every_personal_column_names_its_rule():
    """RP, the register: what has no line in it fails the build."""
    named = {name for columns in columns_by_rule().values() for name in columns}

    assert (PERSONAL | personal_columns(of_staff=True)) - named == set()


def test_every_column_that_points_to_a_person_names_its_rule():
    pointing = {
        f"{table.name}.{column.name}"
        for table in Base.metadata.tables.values()
        for column in table.columns
        if column.name in {"subscriber_id", "address_hash", "staff_id"}
    }

    named = {name for columns in columns_by_rule().values() for name in columns}

    assert pointing - named == set()


def test_every_rule_that_a_column_names_stands_in_the_register():
    assert set(columns_by_rule()) - {rule.key for rule in RULES} == set()


def test_every_act_that_the_audit_log_keeps_has_words():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "newsletter").rglob("*.py"))

    recorded = set(re.findall(r'audit\.record\(\s*"([^"]+)"', code))

    assert len(recorded) > 50
    assert recorded - set(ACTION_LABELS) == set()


def test_rd3_every_field_of_a_copy_has_a_name(canary):
    copy = collect_personal_data(canary)
    records = [copy, *(record for found in copy.values() if isinstance(found, list) for record in found)]

    headings = {name for name, found in copy.items() if isinstance(found, list)}
    fields = {name for record in records for name, value in record.items() if not isinstance(value, list)}
    assert (headings - set(SECTION_LABELS), fields - set(FIELD_LABELS)) == (set(), set())


def test_rd3_every_state_in_a_copy_has_words():
    kinds = (
        TrackingState, SubscriptionStatus, ConsentKind, DeliveryStatus, EventKind, MachineClass, ReportKind,
        RequestKind,
    )  # fmt: skip
    states = {state.value for kind in kinds for state in kind}

    assert states - set(VALUE_LABELS) == set()
