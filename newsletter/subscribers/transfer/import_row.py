"""One row of an import: a consent somebody gave elsewhere, with all that proves it, or the reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from newsletter.config import current_settings
from newsletter.errors import AddressInvalid
from newsletter.moments import read_clock_time
from newsletter.subscribers.addresses import Address, hash_address, parse_address
from newsletter.subscribers.transfer.import_file import REQUIRED, Layout, Row

#: Bytes of a consent text: PostgreSQL indexes no longer ones.
LONGEST_TEXT = 2500
#: Nobody consented to a newsletter by e-mail before.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_CHOICES = {"": None, "yes": True, "no": False}


class RowRejected(ValueError):
    """The row is not imported; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row that can be imported."""

    address: Address
    address_hash: str
    source: str
    consent_text: str
    consented_at: datetime
    proof: str
    #: None where the row leaves it to the list.
    language: str | None
    #: None where the row says nothing about it.
    wants_tracking: bool | None


def read_entry(row: Row, layout: Layout, *, now: datetime) -> Entry:
    """Return what a row says; raise RowRejected."""
    if row.is_broken:
        raise RowRejected("its quotes do not match")
    if any(cell.strip() for cell in row.cells[len(layout.columns) :]):
        raise RowRejected(f"{len(row.cells)} columns instead of {len(layout.columns)}")
    if any("\0" in cell for cell in row.cells):
        raise RowRejected("it holds a NUL character")
    texts = {column: cell.strip() for column, cell in layout.named(row.cells).items()}
    missing = [column for column in REQUIRED if not texts[column]]
    if missing:
        raise RowRejected("missing: " + ", ".join(missing))
    address = _address(texts["address"])
    return Entry(
        address=address,
        address_hash=hash_address(address.key),
        source=texts["source"],
        consent_text=_consent_text(texts["consent_text"], address),
        consented_at=_consented_at(texts["consented_at"], now),
        proof=texts["proof"],
        language=_language(texts),
        wants_tracking=_tracking(texts),
    )


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressInvalid as error:
        raise RowRejected("the address is not one that mail can be sent to") from error


def _consent_text(text: str, address: Address) -> str:
    if len(text.encode()) > LONGEST_TEXT:
        raise RowRejected(f"consent_text is longer than {LONGEST_TEXT} bytes")
    # The words are kept for good and for everybody: erasing the person would not reach them there.
    if address.key in text.casefold():
        raise RowRejected("consent_text holds the address; it has to be the words everybody saw")
    return text


def _consented_at(text: str, now: datetime) -> datetime:
    """Return the instant, the beginning of the day for a date, in the business time zone."""
    at = _instant(text)
    if at.tzinfo is None:
        raise RowRejected("consented_at has a time without a zone, as in 2024-05-31T12:00:00+03:00")
    try:
        at = at.astimezone(UTC)
    except OverflowError:  # at either end of the calendar, where no zone changes the answer
        at = at.replace(tzinfo=UTC)
    if not EARLIEST <= at <= now:
        raise RowRejected("consented_at is in the future" if at > now else "consented_at is before 1990")
    return at


def _instant(text: str) -> datetime:
    day = _finnish_date(text)
    try:
        day = day or date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return datetime.combine(day, time(), current_settings().timezone)
    try:
        return read_clock_time(text)
    except ValueError:
        raise RowRejected("consented_at is neither ISO 8601 nor a date such as 31.5.2024") from None


def _finnish_date(text: str) -> date | None:
    day, _, rest = text.partition(".")
    month, _, year = rest.partition(".")
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _language(texts: Mapping[str, str]) -> str | None:
    language = texts.get("language", "").casefold()
    if language and language not in current_settings().languages:
        raise RowRejected("language is none of " + ", ".join(current_settings().languages))
    return language or None


def _tracking(texts: Mapping[str, str]) -> bool | None:
    choice = texts.get("tracking", "").casefold()
    if choice not in _CHOICES:
        raise RowRejected("tracking is neither yes nor no")
    return _CHOICES[choice]
