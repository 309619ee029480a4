"""The record of processing activities (GDPR art. 30), from the settings and the retention rules."""

from flask_babel import gettext as _

from newsletter.config import current_settings
from newsletter.privacy.notice.content import notice_sections
from newsletter.privacy.retention.schedule import schedule_lines


def processing_record_rows() -> list[tuple[str, str]]:
    """Return the record in the language in force, as headings and texts."""
    chosen = current_settings()
    told = {section.id: section for section in notice_sections()}
    return [
        (_("Activity"), _("Sending newsletters to people who ordered them, and measuring them")),
        (_("Controller"), ", ".join(filter(None, (chosen.sender_name, chosen.sender_business_id)))),
        (_("Contact in privacy matters"), chosen.privacy_contact),
        (_("People"), _("Subscribers, people who asked to subscribe, members of staff")),
        *(
            (told[part].heading, _join_text(told[part].paragraphs, told[part].rows))
            for part in ("purposes", "data", "tracking", "retention", "recipients", "transfers", "protection")
        ),
        (_("How long data on staff is kept"), _join_text([], _staff_retention_rows())),
    ]


def _staff_retention_rows() -> list[tuple[str, str]]:
    return [
        (line.what, f"{line.how_long}. {line.then}.")
        for line in schedule_lines(everything=True)
        if any(column.startswith("staff") for column in line.columns)
    ]


def _join_text(paragraphs: list[str], rows: list[tuple[str, str]]) -> str:
    return "\n".join([*paragraphs, *(f"{term}: {text}" for term, text in rows)])
