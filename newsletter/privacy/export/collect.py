"""A person's data as a whole: for the letter, as JSON, as CSV, and as a page a person can read."""

import io
import json
from datetime import datetime
from typing import Any

from newsletter.ledger import audit
from newsletter.privacy.everyone import collect
from newsletter.stats.rollups.ingest import load_spool
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.queries import get_subscriber
from newsletter.web.csv_output import CsvWriter


def read_copy(address: str, *, now: datetime, actor: str) -> dict[str, Any]:
    """Return everything held on an address and record who looked.

    Raises AddressInvalid or UnknownSubscriber. Loads the spool, so that it is complete.
    """
    load_spool()
    person = get_subscriber(address)
    audit.record("personal data read", actor=actor, now=now, object=f"subscriber:{person.id}")
    return copy_for(person, now)


def copy_for(person: Subscriber, now: datetime) -> dict[str, Any]:
    """Return everything held on a person, with the moment of the copy."""
    return {"copied_at": now.isoformat()} | collect(person)


def as_json(data: dict[str, Any]) -> str:
    """Return a copy as JSON."""
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def as_csv(data: dict[str, Any]) -> str:
    """Return a copy as CSV: one value a line, with what it belongs to."""
    file = io.StringIO(newline="")
    writer = CsvWriter(file)
    writer.write(("kind", "record", "field", "value"))
    for kind, value in data.items():
        records = value if isinstance(value, list) else [{kind: value}]
        for number, record in enumerate(records, start=1):
            for name, cell in record.items():
                if cell is not None:
                    writer.write((kind, str(number), name, str(cell)))
    return file.getvalue()
