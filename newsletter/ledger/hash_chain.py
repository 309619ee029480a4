"""A hash chain (SHA-256) over append-only rows, from which a person can still be erased.

Each row has a lasting part and a personal part. The chain covers the lasting part and a salted digest
of the personal one. After the personal part and its salt are erased, the row still verifies and nothing
can be guessed from it; any other change breaks the chain.

A job seals rows soon after they were written, so that writing a row needs no lock on the chain.
"""

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base, db, execute_dml, is_sqlite

#: Rows sealed or checked at a time.
BATCH = 500
_GENESIS_DIGEST = "0" * 64


class SealedRow:
    """Mixin with the columns of a model whose rows are sealed."""

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Makes the digest of the personal part unguessable; goes with that part.
    salt: Mapped[str | None]
    #: What the seal covers of the personal part; NULL until sealed.
    personal_digest: Mapped[str | None]
    is_sealed: Mapped[bool] = mapped_column(default=False)

    def personal_part(self) -> dict[str, Any]:
        """Return what goes with the person."""
        raise NotImplementedError

    def lasting_part(self) -> dict[str, Any]:
        """Return what stays."""
        raise NotImplementedError


Row = TypeVar("Row", bound=SealedRow)


class Seal(Base):
    """One link of a chain. It stays when its row is deleted at the end of its time."""

    __tablename__ = "seals"

    chain: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    row_id: Mapped[int] = mapped_column(index=True)
    row_digest: Mapped[str]
    #: Covers the seal before it and this row.
    seal: Mapped[str]
    #: True once the row's time was over and we deleted it; a row that is gone without is missed.
    is_row_deleted: Mapped[bool] = mapped_column(default=False)


@dataclass(frozen=True, slots=True)
class ChainReport:
    """The result of verifying a chain. ``broken`` has a sentence for each broken position."""

    rows: int
    erased: int
    deleted: int
    unsealed: int
    broken: list[str]


def unsealed_index(table: str) -> sa.Index:
    """Return the partial index by which the job finds rows that are not sealed yet."""
    open_rows = sa.text("NOT is_sealed")
    return sa.Index(f"ix_{table}_unsealed", "id", sqlite_where=open_rows, postgresql_where=open_rows)


def seal_unsealed(model: type[Row], chain: str) -> int:
    """Seal every row that is not sealed yet, and return how many. Commits after each batch."""
    sealed = 0
    while True:
        _lock_chain(chain)
        rows = _unsealed(model)
        if not rows:
            db.session.rollback()
            return sealed
        position, last = _head_of(chain)
        for row in rows:
            position += 1
            row.salt = secrets.token_hex(16)
            row.personal_digest = _digest(row.salt, row.personal_part())
            digest = _row_digest(row)
            last = _digest(last, digest)
            db.session.add(Seal(chain=chain, position=position, row_id=row.id, row_digest=digest, seal=last))
            row.is_sealed = True
        db.session.commit()
        sealed += len(rows)


def verify(model: type[Row], chain: str) -> ChainReport:
    """Walk a chain from its beginning and compare every row with its seal; changes nothing."""
    erased = deleted = count = 0
    broken: list[str] = []
    last = _GENESIS_DIGEST
    for position, (seal, row) in enumerate(_iterate_chain(model, chain), start=1):
        count += 1
        if seal.position != position:
            broken.append(f"{chain} {position}: a seal is missing")
            return ChainReport(count, erased, deleted, _count_unsealed(model), broken)
        last = _digest(last, seal.row_digest)
        if seal.seal != last:
            broken.append(f"{chain} {position}: the seal does not follow from the one before")
            last = seal.seal
        deleted += row is None or seal.is_row_deleted
        erased += row is not None and row.salt is None
        if fault := _find_fault(seal, row):
            broken.append(f"{chain} {position}: row {seal.row_id} {fault}")
    if (claimed := _count(model, model.is_sealed)) != count - deleted:
        broken.append(f"{chain}: {claimed} rows say that they are sealed, {count - deleted} are")
    return ChainReport(count, erased, deleted, _count_unsealed(model), broken)


def _find_fault(seal: Seal, row: SealedRow | None) -> str:
    """Return what is wrong with a row compared with its seal; "" when nothing is."""
    if row is None or seal.is_row_deleted:
        return "is missing, or back" if (row is None) is not seal.is_row_deleted else ""
    if not row.is_sealed:
        return "says that it was never sealed"
    if _row_digest(row) != seal.row_digest:
        return "is not what was sealed"
    if row.salt is None:
        told = any(value is not None for value in row.personal_part().values())
        return "calls itself erased and is not" if told else ""
    if _digest(row.salt, row.personal_part()) != row.personal_digest:
        return "has another personal part than was sealed"
    return ""


def delete_rows(model: type[Row], chain: str, those: sa.ColumnElement[bool]) -> int:
    """Delete rows whose retention has ended and mark that in the chain. Commits after each batch."""
    deleted = 0
    while ids := db.session.scalars(sa.select(model.id).where(those).order_by(model.id).limit(BATCH)).all():
        execute_dml(
            sa.update(Seal).where(Seal.chain == chain, Seal.row_id.in_(ids)).values(is_row_deleted=True)
        )
        deleted += execute_dml(sa.delete(model).where(model.id.in_(ids)))
        db.session.commit()
    db.session.rollback()
    return deleted


def _iterate_chain(model: type[Row], chain: str) -> Iterator[tuple[Seal, Row | None]]:
    position = 0
    while True:
        seals = db.session.scalars(
            sa.select(Seal)
            .where(Seal.chain == chain, Seal.position > position)
            .order_by(Seal.position)
            .limit(BATCH)
        ).all()
        if not seals:
            return
        wanted = [seal.row_id for seal in seals]
        rows = {row.id: row for row in db.session.scalars(sa.select(model).where(model.id.in_(wanted)))}
        for seal in seals:
            yield seal, rows.get(seal.row_id)
        position = seals[-1].position
        db.session.expunge_all()


def _lock_chain(chain: str) -> None:
    """Take the advisory lock of a chain until the commit; on SQLite the write lock does it."""
    if not is_sqlite():
        key = int.from_bytes(hashlib.sha256(chain.encode()).digest()[:7])
        db.session.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))


def _unsealed(model: type[Row]) -> Sequence[Row]:
    rows = sa.select(model).where(sa.not_(model.is_sealed)).order_by(model.id).limit(BATCH)
    return db.session.scalars(rows.with_for_update()).all()


def _count_unsealed(model: type[Row]) -> int:
    return _count(model, sa.not_(model.is_sealed))


def _count(model: type[Row], those: sa.ColumnElement[bool] | sa.orm.InstrumentedAttribute[bool]) -> int:
    return db.session.scalar(sa.select(sa.func.count()).select_from(model).where(those)) or 0


def _head_of(chain: str) -> tuple[int, str]:
    last = db.session.scalar(
        sa.select(Seal).where(Seal.chain == chain).order_by(Seal.position.desc()).limit(1)
    )
    return (last.position, last.seal) if last else (0, _GENESIS_DIGEST)


def _row_digest(row: SealedRow) -> str:
    return _digest(row.personal_digest or "", {"id": row.id} | row.lasting_part())


def _digest(before: str, content: object) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
