"""Proving again who one is, before what matters: an unattended desk must not be enough.

A form that comes too late is not thrown away: its fields go along with the question, and with the
right answer it does what it would have done.
"""

from collections.abc import Mapping
from datetime import datetime

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue

from newsletter.config import settings
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.staff.auth import access, passkeys, throttle, two_factor, webauthn_challenges
from newsletter.staff.auth.passkeys import PasskeyRefused
from newsletter.staff.auth.throttle import TooManyTries
from newsletter.staff.auth.two_factor import CodeWrong
from newsletter.staff.models import Staff, StaffSession
from newsletter.web.i18n import translate

#: The fields of the question, and that of every form; none goes along.
_OWN = {"proof", "passkey", "csrf_token"}


class PasswordWrong(NewsletterError):
    """It is not the password of who is signed in."""

    message = N_("The password is wrong.")


#: Why a proof was not taken.
REFUSALS = (CodeWrong, PasswordWrong, PasskeyRefused, TooManyTries)


def prove(account: Staff, given: Mapping[str, str], *, now: datetime) -> None:
    """Take a passkey, a code or, without a second step, the password. The account must be locked.

    Raises one of REFUSALS. What the log then says of it wants a commit.
    """
    throttle.count_code(account)
    if given.get("passkey"):
        challenge = webauthn_challenges.take(webauthn_challenges.SIGNING_IN, now=now)
        passkeys.recognise(given["passkey"], challenge, now=now, only=account)
    elif account.has_second_step:
        two_factor.check(account, given.get("proof", ""), now=now)
    elif not access.is_password_of(account, given.get("proof", "")):
        raise PasswordWrong


def way_of(account: Staff) -> dict[str, bool]:
    """Tell the page of the question how this account can answer it."""
    return {
        "by_password": not account.has_second_step,
        "by_code": account.has_second_step and two_factor.takes_code(account),
        "by_authenticator": account.has_authenticator,
        "by_passkey": settings().passkeys and account.passkey_count > 0,
    }


def take(here: StaffSession, *, now: datetime) -> ResponseReturnValue | None:
    """Ask beside a form that came too late; None once it is answered, and the form may go on."""
    # Before anything else: the question must not lend its own token to a form of another site.
    current_app.extensions["csrf"].protect()
    if "proof" not in request.form and "passkey" not in request.form:
        return _question({}), 403
    try:
        prove(access.me(lock=True), request.form, now=now)
    except REFUSALS as error:
        db.session.commit()
        return _question({"proof": translate(error.message, error.values)}), 422
    here.proved_at = now
    db.session.commit()
    return None


def _question(errors: dict[str, str]) -> str:
    return render_template(
        "staff/verify.html",
        errors=errors,
        **way_of(access.me()),
        kept=[(name, text) for name, text in request.form.items(multi=True) if name not in _OWN],
        action=request.full_path.rstrip("?"),
    )
