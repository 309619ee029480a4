"""Re-authentication before sensitive actions, so that an unattended browser is not enough.

A form that is posted too late is not lost: its fields are sent along with the prompt, and with the right
answer it is processed as posted.
"""

from collections.abc import Mapping
from datetime import datetime

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue

from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.staff.auth import access, passkeys, throttle, two_factor, webauthn_challenges
from newsletter.staff.auth.passkeys import PasskeyRefused
from newsletter.staff.auth.throttle import TooManyAttempts
from newsletter.staff.auth.two_factor import CodeWrong
from newsletter.staff.models import Staff, StaffSession
from newsletter.web.i18n import translate

#: The fields of the question, and that of every form; none goes along.
_PROMPT_FIELDS = {"proof", "passkey", "csrf_token"}


class PasswordWrong(NewsletterError):
    """It is not the password of who is signed in."""

    message = N_("The password is wrong.")


#: Why a proof was not taken.
AUTHENTICATION_ERRORS = (CodeWrong, PasswordWrong, PasskeyRefused, TooManyAttempts)


def verify_credentials(account: Staff, given: Mapping[str, str], *, now: datetime) -> None:
    """Check a passkey, a code or, without a second factor, the password. The account must be locked.

    Raises one of AUTHENTICATION_ERRORS; the caller commits then too, for the audit entry.
    """
    throttle.count_code_attempt(account, is_passkey=bool(given.get("passkey")))
    if given.get("passkey"):
        challenge = webauthn_challenges.consume_challenge(webauthn_challenges.AUTHENTICATION, now=now)
        passkeys.authenticate(given["passkey"], challenge, now=now, owner=account)
    elif account.has_second_step:
        two_factor.verify_code(account, given.get("proof", ""), now=now)
    elif not access.check_password(account, given.get("proof", "")):
        raise PasswordWrong


def available_methods(account: Staff) -> dict[str, bool]:
    """Tell the page of the question how this account can answer it."""
    return {
        "by_password": not account.has_second_step,
        "by_code": account.has_second_step and two_factor.accepts_code(account),
        "by_authenticator": account.has_authenticator,
        "by_passkey": current_settings().passkeys and account.passkey_count > 0,
    }


def require_reauthentication(current: StaffSession, *, now: datetime) -> ResponseReturnValue | None:
    """Return the prompt for a late form, or None once it is answered and may proceed. Commits."""
    # Before anything else: the question must not lend its own token to a form of another site.
    current_app.extensions["csrf"].protect()
    if "proof" not in request.form and "passkey" not in request.form:
        return _prompt_page({}), 403
    try:
        verify_credentials(access.current_staff(lock=True), request.form, now=now)
    except AUTHENTICATION_ERRORS as error:
        db.session.commit()
        return _prompt_page({"proof": translate(error.message, error.values)}), 422
    current.proved_at = now
    db.session.commit()
    return None


def _prompt_page(errors: dict[str, str]) -> str:
    return render_template(
        "staff/verify.html",
        errors=errors,
        **available_methods(access.current_staff()),
        kept=[(name, text) for name, text in request.form.items(multi=True) if name not in _PROMPT_FIELDS],
        action=request.full_path.rstrip("?"),
    )
