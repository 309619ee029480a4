"""Pages of OpenID Connect, where OIDC_ISSUER is set: start, callback, and unlinking."""

from flask import Blueprint, abort, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.staff.accounts import notify_owner
from newsletter.staff.auth import access, openid, throttle
from newsletter.staff.auth.access import open_to_all, require_role
from newsletter.staff.auth.throttle import TooManyAttempts
from newsletter.staff.models import Role
from newsletter.staff.views.login import ask_for_code, complete_login
from newsletter.web.app import message_page, write_transaction
from newsletter.web.i18n import translate

bp = Blueprint("openid", __name__, url_prefix="/staff")

#: What the browser keeps while it is away.
_LOGIN_STATE_KEY = "openid"


@bp.before_request
def _require_setting() -> None:
    if not current_settings().oidc_issuer:
        abort(404)


# A link and not a form: browsers let a form of ours lead to no other site.
@bp.get("/login/openid")
@open_to_all
def start() -> ResponseReturnValue:
    try:
        throttle.count_openid_start()
    except TooManyAttempts as error:
        return message_page(_("This did not work"), translate(error.message), tone="problem", status=429)
    url, kept = openid.start_authorization(_redirect_uri(), now=utcnow())
    session[_LOGIN_STATE_KEY] = kept | {"next": request.args.get("next", "")}
    return redirect(url, 303)


@bp.get("/login/openid/back")
@open_to_all
@write_transaction
def back() -> ResponseReturnValue:
    if request.method == "HEAD":  # nobody is there
        abort(405)
    now, kept = utcnow(), session.pop(_LOGIN_STATE_KEY, {})
    identity = openid.finish_authorization(kept, _authorization_response(), _redirect_uri(), now=now)
    account = openid.account_for_identity(identity, now=now)
    target = str(kept.get("next", ""))
    if account.has_second_step and not identity.is_strong:
        db.session.commit()
        return ask_for_code(account, target)
    return complete_login(account, access.safe_next_url(target))


@bp.post("/account/openid/unlink")
@require_role(*Role, fresh=True, by_list=True)
def unlink() -> ResponseReturnValue:
    now, account = utcnow(), access.current_staff(lock=True)
    openid.unlink(account, now=now)
    notify_owner(account, "openid_unlinked", now=now)
    db.session.commit()
    said = _("%(name)s opens your account no more, until you use it again.", name=openid.provider_name())
    flash(said, "info")
    return redirect(url_for("account.page", _anchor="openid"), 303)


def _authorization_response() -> dict[str, str]:
    return {name: request.args.get(name, "") for name in ("state", "code", "iss") if name in request.args}


def _redirect_uri() -> str:
    """Return our address as it has been told to the provider, letter by letter."""
    return f"{current_settings().base_url}/staff/login/openid/back"
