"""Public pages of the one-time links "a copy of my data" and "erase me". Only a POST does anything."""

import base64
import json

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.privacy.export import labels
from newsletter.privacy.requests import self_service
from newsletter.subscribers.models import LinkPurpose
from newsletter.subscribers.one_time_links import find_link
from newsletter.web.app import message_page

bp = Blueprint("own_data", __name__, url_prefix="/preferences")


@bp.get("/copy/<token>")
def copy(token: str) -> ResponseReturnValue:
    find_link(token, LinkPurpose.COPY, now=utcnow())
    return render_template("public/copy.html")


@bp.post("/copy/<token>")
def show_copy(token: str) -> ResponseReturnValue:
    data = self_service.export_own_data(token, now=utcnow())
    db.session.commit()
    text = json.dumps(data, ensure_ascii=False, indent=2)
    # The link is used up, so the file travels inside the page.
    file = base64.b64encode(text.encode()).decode()
    return render_template("public/own_data.html", sections=labels.data_sections(data), text=text, file=file)


@bp.get("/erase/<token>")
def erasure(token: str) -> ResponseReturnValue:
    find_link(token, LinkPurpose.ERASURE, now=utcnow())
    return render_template("public/erase.html", years=current_settings().keep_proof_years)


@bp.post("/erase/<token>")
def erase(token: str) -> ResponseReturnValue:
    self_service.erase_own_data(token, now=utcnow())
    return message_page(
        _("Your data has been erased"),
        _("Your address, your subscriptions and everything recorded with them are gone."),
        _(
            "What stays for %(years)s years, without your address: proof of what you agreed to and"
            " when. If your address is blocked from our mail, the block stays too.",
            years=current_settings().keep_proof_years,
        ),
        tone="ok",
    )
