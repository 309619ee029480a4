"""The privacy notice and all its versions, for everybody."""

from datetime import date

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from newsletter.i18n import language
from newsletter.privacy import publishing
from newsletter.privacy.models import Notice
from newsletter.privacy.notice import sections
from newsletter.subscribers.wordings import FIRST_NOTICE

bp = Blueprint("privacy", __name__)

#: Of the notice that no version has been published of.
WRITTEN_ON = date(2026, 11, 22)


@bp.get("/privacy")
def notice() -> ResponseReturnValue:
    newest = publishing.current()
    if newest is None:
        return render_template(
            "public/notice.html",
            sections=sections(),
            version=FIRST_NOTICE,
            published_on=WRITTEN_ON,
            versions=[],
            changes=[],
        )
    return _show(newest)


@bp.get("/privacy/<int:version>")
def notice_version(version: int) -> ResponseReturnValue:
    found = next((item for item in publishing.versions() if item.version == version), None)
    if found is None:
        if publishing.current() is None and version == FIRST_NOTICE:
            return notice()
        abort(404)
    return _show(found)


def _show(shown: Notice) -> str:
    everything = publishing.versions()
    before = next((item for item in everything if item.version == shown.version - 1), None)
    return render_template(
        "public/notice.html",
        sections=publishing.sections_of(shown.content, language()),
        version=shown.version,
        published_on=shown.published_at,
        versions=[item.version for item in everything if item.version != shown.version],
        changes=publishing.changes(before.content, shown.content, language()) if before else [],
    )
