"""``newsletter doctor``: every setting with its source, and checks of all that production use needs."""

from datetime import datetime
from pathlib import Path

from newsletter.config import current_settings
from newsletter.mail.models import Grade
from newsletter.running.doctor import machine, mail
from newsletter.running.doctor.machine import DoctorResult
from newsletter.running.doctor.settings import check_settings

_GRADE_LABELS = {Grade.FINE: "ok", Grade.NOTE: "note", Grade.UNKNOWN: "unknown", Grade.FAILED: "FAILED"}


def run_checks(
    now: datetime, mail_to: str | None = None, folder: Path | None = None
) -> tuple[dict[str, object], str, int]:
    """Return what was found as data and as text, and 1 where something failed, else 0.

    ``mail_to``: send a mail to this address as well. ``folder``: put the messages that are checked there.
    """
    points = machine.check_machine(now) + mail.check_mail(now)
    if machine.is_migrated():
        points += mail.check_messages(now, folder)
    if mail_to:
        points.append(mail.send_test_mail(mail_to, now))
    rows, notes, records = current_settings().report(), check_settings(), mail.dkim_records()
    failed = sum(point.grade is Grade.FAILED for point in points)
    data: dict[str, object] = {
        "settings": [{"name": name, "value": value, "source": source} for name, value, source in rows],
        "database": {
            "engine": current_settings().database_url.get_backend_name(),
            "revision": machine.database_revision(),
        },
        "checks": [_as_dict(point) for point in points],
        "dkim_records": records,
        "notes": notes,
        "failed": failed,
        "as_of": now.isoformat(),
    }
    return data, "\n".join(_lines(rows, points, records, notes, failed)), int(failed > 0)


def _lines(
    rows: list[tuple[str, str, str]],
    points: list[DoctorResult],
    records: list[dict[str, str]],
    notes: list[str],
    failed: int,
) -> list[str]:
    width = max(len(name) for name, _value, _source in rows)
    lines = [f"{name:<{width}}  {value}  ({source})" for name, value, source in rows] + [""]
    area_width = max(len(point.area) for point in points)
    for point in points:
        lines.append(f"{_GRADE_LABELS[point.grade]:<7}  {point.area:<{area_width}}  {point.message}")
        if point.advice:
            lines.append(f"{'':<7}  {'':<{area_width}}  {point.advice}")
    lines += [f"DNS      {record['name']}  TXT  {record['value']}" for record in records]
    lines += [f"Note: {note}" for note in notes]
    if failed:
        return [*lines, "", f"Failed: {failed}"]
    return lines if notes else [*lines, "Nothing stands in the way."]


def _as_dict(point: DoctorResult) -> dict[str, str]:
    return {
        "area": point.area,
        "grade": point.grade.value,
        "message": point.message,
        "advice": point.advice,
    }
