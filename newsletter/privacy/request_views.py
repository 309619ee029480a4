"""The public form for requests about one's data, and the page behind its link to the mailbox."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter import limits
from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import db
from newsletter.errors import AddressInvalid
from newsletter.i18n import format_date, language, translate
from newsletter.privacy import desk
from newsletter.privacy.models import RequestKind
from newsletter.web import message_page

bp = Blueprint("rights", __name__, url_prefix="/privacy/request")


@bp.get("")
def form() -> ResponseReturnValue:
    return _show({}, 200)


@bp.post("")
def ask() -> ResponseReturnValue:
    limits.admit(settings().signup_limit_ip, "rights", limits.visitor())
    posted = request.form
    try:
        kind = RequestKind(posted.get("kind", ""))
    except ValueError:
        return _show({"kind": _("Choose what you ask for.")}, 422)
    try:
        made = desk.receive(
            kind,
            posted.get("email", ""),
            channel="form",
            language=language(),
            now=utcnow(),
            actor="person",
            details=posted.get("details", ""),
            scopes=posted.getlist("scopes"),
        )
    except AddressInvalid as error:
        return _show({"email": translate(error.message)}, 422)
    except desk.ScopeMissing as error:
        return _show({"scopes": translate(error.message)}, 422)
    except desk.NoMoreLinks as error:
        return _show({"email": translate(error.message)}, 429)
    db.session.commit()
    return message_page(
        _("We have received your request"),
        _("We sent a link to your mailbox. Open it, so that we know the request came from you."),
        _("We answer by: %(date)s", date=format_date(made.due_on)),
        tone="ok",
    )


@bp.get("/<token>")
def prove(token: str) -> ResponseReturnValue:
    found = desk.find_unproven(token)
    return render_template("public/rights_prove.html", kind=translate(desk.KINDS[found.kind]))


@bp.post("/<token>")
def proven(token: str) -> ResponseReturnValue:
    found = desk.prove(token, now=utcnow())
    db.session.commit()
    return message_page(
        _("Your request is confirmed"),
        _("We answer by: %(date)s", date=format_date(found.due_on)),
        tone="ok",
    )


def _show(errors: dict[str, str], status: int) -> ResponseReturnValue:
    values = {"email": request.form.get("email", "")[:320], "details": request.form.get("details", "")[:4000]}
    page = render_template(
        "public/rights_request.html",
        errors=errors,
        values=values,
        kind=request.form.get("kind", ""),
        chosen=request.form.getlist("scopes"),
        kinds={kind.value: translate(words) for kind, words in desk.KINDS.items()},
        scopes={scope: translate(words) for scope, words in desk.SCOPES.items()},
    )
    return page, status
