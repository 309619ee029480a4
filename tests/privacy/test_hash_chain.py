"""A change of any single field of a sealed row or of a seal is found; an erasure is none."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger import audit, hash_chain
from newsletter.ledger.audit import AuditEntry
from newsletter.ledger.hash_chain import Seal
from newsletter.privacy.retention.erasure import erase_person
from newsletter.subscribers.consent.evidence import seal_ledger, verify_ledger
from newsletter.subscribers.models import Consent
from tests.support.clock import NOW

#: Set when the person goes, after the seal: what proves them is the keyed hash itself.
NOT_SEALED = {"address_hash", "keep_until"}
OTHER = {
    "kind": "withdrawn",
    "purpose": "tracking",
    "at": "2020-01-01 00:00:00.000000",
    "details": '{"people": 9}',
    "about": '{"told": 1}',
    "salt": "0" * 32,
}
LEDGER = [column.name for column in Consent.__table__.columns if column.name not in NOT_SEALED | {"id"}]
LOG = [column.name for column in AuditEntry.__table__.columns if column.name != "id"]


@pytest.fixture
def sealed(app, sign_up, finnish):
    sign_up("meri@example.com", tracking="yes")
    audit.record(
        "read", actor="staff:1", now=NOW, object="subscriber:1", about={"field": "address"}, kind="x"
    )
    db.session.commit()
    seal_ledger()
    audit.seal_log()
    assert (verify_ledger().broken, audit.verify_log().broken) == ([], [])


def tamper(table, column, where):
    if column == "is_sealed":
        value = False
    elif column.endswith("_id") or column == "notice_version":
        value = None if column != "notice_version" else 99
    else:
        value = OTHER.get(column, "changed")
    db.session.execute(sa.text(f"UPDATE {table} SET {column} = :value WHERE {where}"), {"value": value})  # noqa: S608


@pytest.mark.parametrize("column", LEDGER)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_changed_field_of_the_ledger_is_found(sealed, column):
    before = db.session.execute(sa.text(f"SELECT {column} FROM consents WHERE id = 1")).scalar()  # noqa: S608
    db.session.execute(sa.text("PRAGMA defer_foreign_keys=ON"))
    tamper("consents", column, "id = 1")
    after = db.session.execute(sa.text(f"SELECT {column} FROM consents WHERE id = 1")).scalar()  # noqa: S608
    if before == after:
        db.session.execute(sa.text(f"UPDATE consents SET {column} = 'x' WHERE id = 1"))  # noqa: S608

    assert verify_ledger().broken != []


@pytest.mark.parametrize("column", LOG)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_changed_field_of_the_log_is_found(sealed, column):
    last = db.session.scalar(sa.select(sa.func.max(AuditEntry.id)))

    tamper("audit", column, f"id = {last}")

    assert audit.verify_log().broken != []


@pytest.mark.parametrize("column", ["row_digest", "seal"])
@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_changed_seal_is_found(sealed, column):
    tamper("seals", column, "chain = 'consents' AND position = 1")

    assert verify_ledger().broken != []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM consents WHERE id = 1",
        "DELETE FROM seals WHERE chain = 'consents' AND position = 1",
        "DELETE FROM seals WHERE chain = 'consents' AND position = 2",
        "UPDATE seals SET is_row_deleted = 1 WHERE chain = 'consents' AND position = 1",
        "UPDATE consents SET salt = NULL WHERE id = 1",
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_missing_row_or_seal_is_found(sealed, statement):
    db.session.execute(sa.text(statement))

    assert verify_ledger().broken != []


def test_an_erasure_is_not_taken_for_tampering(real_app, sealed, now):
    erase_person("meri@example.com", now=now, actor="console")

    found = verify_ledger()
    assert (found.broken, found.erased) == ([], 2)
    assert audit.verify_log().broken == []


def test_rp6_the_log_forgets_its_oldest_acts_and_still_verifies(app, sealed, now):
    audit.delete_before(now.replace(year=2030))

    found = audit.verify_log()
    assert (found.broken, found.deleted) == ([], found.rows)
    assert db.session.scalars(sa.select(hash_chain.Seal).where(Seal.chain == audit.CHAIN)).all() != []
