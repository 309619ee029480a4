"""Seals: a hash chain over rows that are only appended to, made so that a person can be erased from it.

Each row has a lasting part and a personal part. The chain runs over the lasting part and a salted
digest of the personal one. Erasing the personal part and its salt leaves a row whose seal still
verifies and from which nothing can be guessed; changing any other thing breaks the chain.

Rows are sealed by a job soon after they were written, so that writing one waits for nobody.
"""

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.db import Base, change, db, is_sqlite

#: Rows sealed or checked at a time.
BATCH = 500
_FIRST = "0" * 64


class Sealable:
    """The columns of a row that is sealed; mixed into its model."""

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


Row = TypeVar("Row", bound=Sealable)


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
class Verdict:
    """What a check of a chain found. ``broken`` names positions, in words."""

    rows: int
    erased: int
    deleted: int
    unsealed: int
    broken: list[str]


def unsealed_index(table: str) -> sa.Index:
    """Return the index by which the job finds what is not sealed yet."""
    open_rows = sa.text("NOT is_sealed")
    return sa.Index(f"ix_{table}_unsealed", "id", sqlite_where=open_rows, postgresql_where=open_rows)


def seal_new(model: type[Row], chain: str) -> int:
    """Seal every row that is not sealed yet, and return how many. Commits after each batch."""
    sealed = 0
    while True:
        _take_turn(chain)
        rows = _unsealed(model)
        if not rows:
            db.session.rollback()
            return sealed
        position, last = _end_of(chain)
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


def verify(model: type[Row], chain: str) -> Verdict:
    """Walk a chain from its beginning and compare every row with its seal; changes nothing."""
    erased = deleted = count = 0
    broken: list[str] = []
    last = _FIRST
    for position, (seal, row) in enumerate(_walk(model, chain), start=1):
        count += 1
        if seal.position != position:
            broken.append(f"{chain} {position}: a seal is missing")
            return Verdict(count, erased, deleted, _count_unsealed(model), broken)
        last = _digest(last, seal.row_digest)
        if seal.seal != last:
            broken.append(f"{chain} {position}: the seal does not follow from the one before")
            last = seal.seal
        deleted += row is None or seal.is_row_deleted
        erased += row is not None and row.salt is None
        if fault := _fault(seal, row):
            broken.append(f"{chain} {position}: row {seal.row_id} {fault}")
    if (claimed := _count(model, model.is_sealed)) != count - deleted:
        broken.append(f"{chain}: {claimed} rows say that they are sealed, {count - deleted} are")
    return Verdict(count, erased, deleted, _count_unsealed(model), broken)


def _fault(seal: Seal, row: Sealable | None) -> str:
    """Say what is wrong with a row, by its seal; nothing when nothing is."""
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
    """Delete rows whose time is over, so that the chain knows of it. Commits after each batch."""
    deleted = 0
    while ids := db.session.scalars(sa.select(model.id).where(those).order_by(model.id).limit(BATCH)).all():
        change(sa.update(Seal).where(Seal.chain == chain, Seal.row_id.in_(ids)).values(is_row_deleted=True))
        deleted += change(sa.delete(model).where(model.id.in_(ids)))
        db.session.commit()
    db.session.rollback()
    return deleted


def _walk(model: type[Row], chain: str) -> Iterator[tuple[Seal, Row | None]]:
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


def _take_turn(chain: str) -> None:
    """Let one process at a time seal a chain: on SQLite the write lock sees to it."""
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


def _end_of(chain: str) -> tuple[int, str]:
    last = db.session.scalar(
        sa.select(Seal).where(Seal.chain == chain).order_by(Seal.position.desc()).limit(1)
    )
    return (last.position, last.seal) if last else (0, _FIRST)


def _row_digest(row: Sealable) -> str:
    return _digest(row.personal_digest or "", {"id": row.id} | row.lasting_part())


def _digest(before: str, content: object) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()
