"""Public form for rights requests, and the page behind the confirmation link sent to the mailbox."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import AddressInvalid
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests import register
from newsletter.ratelimit import limiter
from newsletter.web.app import client_ip, message_page
from newsletter.web.i18n import format_date, language, translate

bp = Blueprint("rights", __name__, url_prefix="/privacy/request")


@bp.get("")
def form() -> ResponseReturnValue:
    return _form_page({}, 200)


@bp.post("")
def ask() -> ResponseReturnValue:
    limiter.enforce(current_settings().signup_limit_ip, "rights", limiter.client_key())
    posted = request.form
    try:
        kind = RequestKind(posted.get("kind", ""))
    except ValueError:
        return _form_page({"kind": _("Choose what you ask for.")}, 422)
    try:
        made = register.record_request(
            kind,
            posted.get("email", ""),
            channel="form",
            language=language(),
            now=utcnow(),
            actor="person",
            details=posted.get("details", ""),
            scopes=posted.getlist("scopes"),
            ip=client_ip(),
        )
    except AddressInvalid as error:
        return _form_page({"email": translate(error.message)}, 422)
    except register.ScopeMissing as error:
        return _form_page({"scopes": translate(error.message)}, 422)
    except register.TooManyLinks as error:
        db.session.commit()  # staff are told, where it was the domain's limit
        return _form_page({"email": translate(error.message)}, 429)
    db.session.commit()
    return message_page(
        _("We have received your request"),
        _("We sent a link to your mailbox. Open it, so that we know the request came from you."),
        _("We answer by: %(date)s", date=format_date(made.due_on)),
        tone="ok",
    )


@bp.get("/<token>")
def prove(token: str) -> ResponseReturnValue:
    found = register.get_unconfirmed(token)
    return render_template("public/rights_prove.html", kind=translate(register.KIND_LABELS[found.kind]))


@bp.post("/<token>")
def proven(token: str) -> ResponseReturnValue:
    found = register.confirm_request(token, now=utcnow())
    db.session.commit()
    return message_page(
        _("Your request is confirmed"),
        _("We answer by: %(date)s", date=format_date(found.due_on)),
        tone="ok",
    )


def _form_page(errors: dict[str, str], status: int) -> ResponseReturnValue:
    values = {"email": request.form.get("email", "")[:320], "details": request.form.get("details", "")[:4000]}
    page = render_template(
        "public/rights_request.html",
        errors=errors,
        values=values,
        kind=request.form.get("kind", ""),
        chosen=request.form.getlist("scopes"),
        kinds={kind.value: translate(words) for kind, words in register.KIND_LABELS.items()},
        scopes={scope: translate(words) for scope, words in register.SCOPE_LABELS.items()},
    )
    return page, status
