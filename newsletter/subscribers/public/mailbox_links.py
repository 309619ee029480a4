"""Public pages of one-time links: change of address, consent to tracking, change of language.

A GET changes nothing; a POST needs only its token, and uses it up.
"""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import AddressInvalid
from newsletter.subscribers.addresses import mask_address
from newsletter.subscribers.consent.texts import get_consent_text
from newsletter.subscribers.models import LinkPurpose, Purpose, Subscriber
from newsletter.subscribers.one_time_links import find_link
from newsletter.subscribers.public.blueprint import current_visit, preferences_url
from newsletter.subscribers.self_service.change_address import confirm_change, request_change
from newsletter.subscribers.self_service.preferences import confirm_choice
from newsletter.web.app import message_page
from newsletter.web.i18n import NATIVE_NAMES, language, translate

bp = Blueprint("own_details", __name__, url_prefix="/preferences")


@bp.get("/address/<token>")
def address(token: str) -> ResponseReturnValue:
    find_link(token, LinkPurpose.ADDRESS, now=utcnow())
    return render_template("public/address.html", errors={}, values={"email": ""})


@bp.post("/address/<token>")
def ask_for_address(token: str) -> ResponseReturnValue:
    text = request.form.get("email", "")
    try:
        request_change(token, text, now=utcnow())
    except AddressInvalid as error:
        errors = {"email": translate(error.message)}
        return render_template("public/address.html", errors=errors, values={"email": text[:320]}), 422
    db.session.commit()
    return message_page(
        _("Check the new mailbox"),
        _("If the new address can be used, we sent a link to it. The link is valid for 30 minutes."),
        _("Your address changes only when you open the link and press the button on its page."),
        tone="ok",
    )


@bp.get("/new-address/<token>")
def new_address(token: str) -> ResponseReturnValue:
    link = find_link(token, LinkPurpose.NEW_ADDRESS, now=utcnow())
    return render_template("public/new_address.html", masked=mask_address(link.new_address or ""))


@bp.post("/new-address/<token>")
def take_new_address(token: str) -> ResponseReturnValue:
    subscriber = confirm_change(token, now=utcnow())
    db.session.commit()
    return message_page(
        _("Your address has been changed"),
        _("From now on we write to this address: %(address)s", address=mask_address(subscriber.address)),
        _("We told the old address about the change."),
        actions=[_details_action(subscriber)],
        tone="ok",
    )


@bp.get("/choice/<token>")
def choice(token: str) -> ResponseReturnValue:
    link = find_link(token, LinkPurpose.CHOICE, now=utcnow())
    return render_template(
        "public/choice.html",
        mail_language=NATIVE_NAMES[link.language] if link.language else None,
        tracking_text=get_consent_text(Purpose.TRACKING, language()) if link.allows_tracking else None,
    )


@bp.post("/choice/<token>")
def make_choice(token: str) -> ResponseReturnValue:
    subscriber = confirm_choice(token, language=language(), now=utcnow(), visit=current_visit())
    db.session.commit()
    return message_page(_("Your changes have been saved."), actions=[_details_action(subscriber)], tone="ok")


def _details_action(subscriber: Subscriber) -> dict[str, str]:
    return {"label": _("Own subscription details"), "url": preferences_url(subscriber)}
