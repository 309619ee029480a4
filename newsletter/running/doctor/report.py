"""``newsletter doctor``: every setting with its source, and all that has to be in order for real use."""

from datetime import datetime
from pathlib import Path

from newsletter.config import settings
from newsletter.mail.models import Grade
from newsletter.running.doctor import machine, mail
from newsletter.running.doctor.machine import Point
from newsletter.running.doctor.settings import findings

_SHOWN = {Grade.FINE: "ok", Grade.NOTE: "note", Grade.UNKNOWN: "unknown", Grade.FAILED: "FAILED"}


def examine(
    now: datetime, mail_to: str | None = None, folder: Path | None = None
) -> tuple[dict[str, object], str, int]:
    """Return what was found as data and as text, and 1 where something failed, else 0.

    ``mail_to``: send a mail to this address as well. ``folder``: put the messages that are checked there.
    """
    points = machine.look_at_machine(now) + mail.look_at_mail(now)
    if machine.is_ready():
        points += mail.look_at_messages(now, folder)
    if mail_to:
        points.append(mail.send_check(mail_to, now))
    rows, notes, records = settings().report(), findings(), mail.dkim_records()
    failed = sum(point.grade is Grade.FAILED for point in points)
    data: dict[str, object] = {
        "settings": [{"name": name, "value": value, "source": source} for name, value, source in rows],
        "database": {
            "engine": settings().database_url.get_backend_name(),
            "revision": machine.revision(),
        },
        "checks": [_as_data(point) for point in points],
        "dkim_records": records,
        "notes": notes,
        "failed": failed,
        "as_of": now.isoformat(),
    }
    return data, "\n".join(_lines(rows, points, records, notes, failed)), int(failed > 0)


def _lines(
    rows: list[tuple[str, str, str]],
    points: list[Point],
    records: list[dict[str, str]],
    notes: list[str],
    failed: int,
) -> list[str]:
    width = max(len(name) for name, _value, _source in rows)
    lines = [f"{name:<{width}}  {value}  ({source})" for name, value, source in rows] + [""]
    area_width = max(len(point.area) for point in points)
    for point in points:
        lines.append(f"{_SHOWN[point.grade]:<7}  {point.area:<{area_width}}  {point.message}")
        if point.advice:
            lines.append(f"{'':<7}  {'':<{area_width}}  {point.advice}")
    lines += [f"DNS      {record['name']}  TXT  {record['value']}" for record in records]
    lines += [f"Note: {note}" for note in notes]
    if failed:
        return [*lines, "", f"Failed: {failed}"]
    return lines if notes else [*lines, "Nothing stands in the way."]


def _as_data(point: Point) -> dict[str, str]:
    return {
        "area": point.area,
        "grade": point.grade.value,
        "message": point.message,
        "advice": point.advice,
    }
