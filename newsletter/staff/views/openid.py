"""Pages of OpenID Connect, where OIDC_ISSUER is set: to the provider, back from it, and its end."""

from flask import Blueprint, abort, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import db
from newsletter.staff.accounts import tell
from newsletter.staff.auth import access, openid, throttle
from newsletter.staff.auth.access import needs, open_to_all
from newsletter.staff.auth.throttle import TooManyTries
from newsletter.staff.models import Role
from newsletter.staff.views.login import ask_for_code, come_in
from newsletter.web.app import message_page, writing
from newsletter.web.i18n import translate

bp = Blueprint("openid", __name__, url_prefix="/staff")

#: What the browser keeps while it is away.
_AWAY = "openid"


@bp.before_request
def _require_setting() -> None:
    if not settings().oidc_issuer:
        abort(404)


# A link and not a form: browsers let a form of ours lead to no other site.
@bp.get("/login/openid")
@open_to_all
def start() -> ResponseReturnValue:
    try:
        throttle.count_openid()
    except TooManyTries as error:
        return message_page(_("This did not work"), translate(error.message), tone="problem", status=429)
    url, kept = openid.begin(_back_url(), now=utcnow())
    session[_AWAY] = kept | {"next": request.args.get("next", "")}
    return redirect(url, 303)


@bp.get("/login/openid/back")
@open_to_all
@writing
def back() -> ResponseReturnValue:
    if request.method == "HEAD":  # nobody is there
        abort(405)
    now, kept = utcnow(), session.pop(_AWAY, {})
    identity = openid.finish(kept, _answer(), _back_url(), now=now)
    account = openid.account_of(identity, now=now)
    target = str(kept.get("next", ""))
    if account.has_second_step and not identity.is_strong:
        db.session.commit()
        return ask_for_code(account, target)
    return come_in(account, access.where_to(target))


@bp.post("/account/openid/unlink")
@needs(*Role, fresh=True, by_list=True)
def unlink() -> ResponseReturnValue:
    now, account = utcnow(), access.me(lock=True)
    openid.unlink(account, now=now)
    tell(account, "openid_unlinked", now=now)
    db.session.commit()
    said = _("%(name)s opens your account no more, until you use it again.", name=openid.provider_name())
    flash(said, "info")
    return redirect(url_for("account.page", _anchor="openid"), 303)


def _answer() -> dict[str, str]:
    return {name: request.args.get(name, "") for name in ("state", "code", "iss") if name in request.args}


def _back_url() -> str:
    """Return our address as it has been told to the provider, letter by letter."""
    return f"{settings().base_url}/staff/login/openid/back"
