"""Public pages of the privacy notice and all its versions."""

from datetime import date

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from newsletter.privacy.models import Notice
from newsletter.privacy.notice import versions
from newsletter.privacy.notice.content import notice_sections
from newsletter.subscribers.consent.texts import FIRST_NOTICE_VERSION
from newsletter.web.i18n import language

bp = Blueprint("privacy", __name__)

#: Date shown while no version of the notice has been published.
UNPUBLISHED_NOTICE_DATE = date(2026, 11, 22)


@bp.get("/privacy")
def notice() -> ResponseReturnValue:
    newest = versions.current_notice()
    if newest is None:
        return render_template(
            "public/notice.html",
            sections=notice_sections(),
            version=FIRST_NOTICE_VERSION,
            published_on=UNPUBLISHED_NOTICE_DATE,
            versions=[],
            changes=[],
        )
    return _version_page(newest)


@bp.get("/privacy/<int:version>")
def notice_version(version: int) -> ResponseReturnValue:
    found = next((item for item in versions.list_versions() if item.version == version), None)
    if found is None:
        if versions.current_notice() is None and version == FIRST_NOTICE_VERSION:
            return notice()
        abort(404)
    return _version_page(found)


def _version_page(shown: Notice) -> str:
    everything = versions.list_versions()
    before = next((item for item in everything if item.version == shown.version - 1), None)
    return render_template(
        "public/notice.html",
        sections=versions.sections_of(shown.content, language()),
        version=shown.version,
        published_on=shown.published_at,
        versions=[item.version for item in everything if item.version != shown.version],
        changes=versions.diff_versions(before.content, shown.content, language()) if before else [],
    )
