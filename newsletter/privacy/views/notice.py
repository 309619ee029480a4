"""The privacy notice and all its versions, for everybody."""

from datetime import date

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from newsletter.privacy.models import Notice
from newsletter.privacy.notice import versions
from newsletter.privacy.notice.content import sections
from newsletter.subscribers.consent.texts import FIRST_NOTICE
from newsletter.web.i18n import language

bp = Blueprint("privacy", __name__)

#: Of the notice that no version has been published of.
WRITTEN_ON = date(2026, 11, 22)


@bp.get("/privacy")
def notice() -> ResponseReturnValue:
    newest = versions.current()
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
    found = next((item for item in versions.versions() if item.version == version), None)
    if found is None:
        if versions.current() is None and version == FIRST_NOTICE:
            return notice()
        abort(404)
    return _show(found)


def _show(shown: Notice) -> str:
    everything = versions.versions()
    before = next((item for item in everything if item.version == shown.version - 1), None)
    return render_template(
        "public/notice.html",
        sections=versions.sections_of(shown.content, language()),
        version=shown.version,
        published_on=shown.published_at,
        versions=[item.version for item in everything if item.version != shown.version],
        changes=versions.changes(before.content, shown.content, language()) if before else [],
    )
