"""Validation of one import row: a consent given elsewhere, with its proof."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from newsletter.config import current_settings
from newsletter.errors import AddressInvalid
from newsletter.moments import read_clock_time
from newsletter.subscribers.addresses import Address, hash_address, parse_address
from newsletter.subscribers.transfer.import_file import REQUIRED_COLUMNS, CsvRow, FileLayout

#: Maximum bytes of a consent text: the limit of a PostgreSQL index entry.
MAX_CONSENT_TEXT_BYTES = 2500
#: Earlier dates are taken for mistakes.
EARLIEST_CONSENT = datetime(1990, 1, 1, tzinfo=UTC)
_YES_NO = {"": None, "yes": True, "no": False}


class RowRejected(ValueError):
    """The row is not imported; the message is the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportEntry:
    """A valid row."""

    address: Address
    address_hash: str
    source: str
    consent_text: str
    consented_at: datetime
    proof: str
    #: None for the language of the list.
    language: str | None
    #: None when the row has no choice.
    wants_tracking: bool | None


def parse_row(row: CsvRow, layout: FileLayout, *, now: datetime) -> ImportEntry:
    """Validate a row; raise RowRejected."""
    if row.is_broken:
        raise RowRejected("its quotes do not match")
    if any(cell.strip() for cell in row.cells[len(layout.columns) :]):
        raise RowRejected(f"{len(row.cells)} columns instead of {len(layout.columns)}")
    if any("\0" in cell for cell in row.cells):
        raise RowRejected("it holds a NUL character")
    texts = {column: cell.strip() for column, cell in layout.as_dict(row.cells).items()}
    missing = [column for column in REQUIRED_COLUMNS if not texts[column]]
    if missing:
        raise RowRejected("missing: " + ", ".join(missing))
    address = _parse_row_address(texts["address"])
    return ImportEntry(
        address=address,
        address_hash=hash_address(address.key),
        source=texts["source"],
        consent_text=_check_consent_text(texts["consent_text"], address),
        consented_at=_parse_consented_at(texts["consented_at"], now),
        proof=texts["proof"],
        language=_parse_language(texts),
        wants_tracking=_parse_tracking(texts),
    )


def _parse_row_address(text: str) -> Address:
    try:
        return parse_address(text)
    except AddressInvalid as error:
        raise RowRejected("the address is not one that mail can be sent to") from error


def _check_consent_text(text: str, address: Address) -> str:
    if len(text.encode()) > MAX_CONSENT_TEXT_BYTES:
        raise RowRejected(f"consent_text is longer than {MAX_CONSENT_TEXT_BYTES} bytes")
    # Consent texts are shared and never erased, so they must hold no address.
    if address.key in text.casefold():
        raise RowRejected("consent_text holds the address; it has to be the words everybody saw")
    return text


def _parse_consented_at(text: str, now: datetime) -> datetime:
    """Return the instant in UTC; a date means its beginning in the business time zone."""
    at = _parse_instant(text)
    if at.tzinfo is None:
        raise RowRejected("consented_at has a time without a zone, as in 2024-05-31T12:00:00+03:00")
    try:
        at = at.astimezone(UTC)
    except OverflowError:  # year 1 or 9999; refused below in any zone
        at = at.replace(tzinfo=UTC)
    if not EARLIEST_CONSENT <= at <= now:
        raise RowRejected("consented_at is in the future" if at > now else "consented_at is before 1990")
    return at


def _parse_instant(text: str) -> datetime:
    day = _parse_finnish_date(text)
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


def _parse_finnish_date(text: str) -> date | None:
    day, _, rest = text.partition(".")
    month, _, year = rest.partition(".")
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _parse_language(texts: Mapping[str, str]) -> str | None:
    language = texts.get("language", "").casefold()
    if language and language not in current_settings().languages:
        raise RowRejected("language is none of " + ", ".join(current_settings().languages))
    return language or None


def _parse_tracking(texts: Mapping[str, str]) -> bool | None:
    choice = texts.get("tracking", "").casefold()
    if choice not in _YES_NO:
        raise RowRejected("tracking is neither yes nor no")
    return _YES_NO[choice]
