"""Export of everything held on one subscriber (GDPR art. 15 and 20): as a dictionary, as JSON and as CSV."""

import io
import json
from datetime import datetime
from typing import Any

from newsletter.ledger import audit
from newsletter.privacy.everyone import collect_personal_data
from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.queries import get_subscriber
from newsletter.web.csv_output import CsvWriter


def read_data_export(address: str, *, now: datetime, actor: str) -> dict[str, Any]:
    """Return everything held on an address, and audit who read it. The caller commits.

    Raises AddressInvalid or UnknownSubscriber. Loads this machine's logs first, so that it is complete.
    """
    load_local_logs()
    person = get_subscriber(address)
    audit.record("personal data read", actor=actor, now=now, object=f"subscriber:{person.id}")
    return build_data_export(person, now)


def build_data_export(person: Subscriber, now: datetime) -> dict[str, Any]:
    """Return everything held on a person, with the time of the export."""
    return {"copied_at": now.isoformat()} | collect_personal_data(person)


def as_json(data: dict[str, Any]) -> str:
    """Return an export as JSON."""
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def as_csv(data: dict[str, Any]) -> str:
    """Return an export as CSV: one value a row, with kind, record number and field."""
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
