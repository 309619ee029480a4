"""Proving again who one is, before what matters: an unattended desk must not be enough.

A form that comes too late is not thrown away: its fields go along with the question, and with the
right answer it does what it would have done.
"""

from datetime import datetime

from flask import current_app, render_template, request
from flask.typing import ResponseReturnValue

from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.i18n import translate
from newsletter.staff import access, second_step, throttle
from newsletter.staff.models import Staff, StaffSession
from newsletter.staff.second_step import CodeWrong
from newsletter.staff.throttle import TooManyTries

#: The field of the question, and that of every form; neither goes along.
_OWN = {"proof", "csrf_token"}


class PasswordWrong(NewsletterError):
    """It is not the password of who is signed in."""

    message = N_("The password is wrong.")


def prove(account: Staff, given: str, *, now: datetime) -> None:
    """Take a code or, without a second step, the password. The account must be locked.

    Raises CodeWrong, PasswordWrong or TooManyTries.
    """
    throttle.count_code(account)
    if account.has_second_step:
        second_step.check(account, given, now=now)
    elif not access.is_password_of(account, given):
        raise PasswordWrong


def take(here: StaffSession, *, now: datetime) -> ResponseReturnValue | None:
    """Ask beside a form that came too late; None once it is answered, and the form may go on."""
    # Before anything else: the question must not lend its own token to a form of another site.
    current_app.extensions["csrf"].protect()
    given = request.form.get("proof")
    if given is None:
        return _question({}), 403
    try:
        prove(access.me(lock=True), given, now=now)
    except (CodeWrong, PasswordWrong, TooManyTries) as error:
        return _question({"proof": translate(error.message, error.values)}), 422
    here.proved_at = now
    db.session.commit()
    return None


def _question(errors: dict[str, str]) -> str:
    return render_template(
        "staff/verify.html",
        errors=errors,
        by_code=access.me().has_second_step,
        kept=[(name, text) for name, text in request.form.items(multi=True) if name not in _OWN],
        action=request.full_path.rstrip("?"),
    )
