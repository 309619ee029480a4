"""The privacy notice, for everybody."""

from datetime import date

from flask import Blueprint, abort, render_template
from flask.typing import ResponseReturnValue

from newsletter.privacy.notice import sections
from newsletter.subscribers.wordings import NOTICE_VERSION

bp = Blueprint("privacy", __name__)

PUBLISHED_ON = date(2026, 11, 22)


@bp.get("/privacy")
def notice() -> ResponseReturnValue:
    return render_template(
        "public/notice.html", sections=sections(), version=NOTICE_VERSION, published_on=PUBLISHED_ON
    )


@bp.get("/privacy/<int:version>")
def notice_version(version: int) -> ResponseReturnValue:
    if version != NOTICE_VERSION:
        abort(404)
    return notice()
