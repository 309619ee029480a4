"""Second factor: TOTP codes of an authenticator app (RFC 6238), and recovery codes.

A passkey is both factors at once; its owner has recovery codes as well. A TOTP code works once: the time step
of the last one is stored, and no earlier or equal one is accepted.
"""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import Flask, current_app
from flask_security import UserMixin
from flask_security.totp import Totp

from newsletter.config import Settings
from newsletter.db import db, execute_dml
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.staff.models import Role, Staff, StaffPasskey
from newsletter.web.signed_tokens import hash_secret

#: Their mistakes cost most, so a stolen password alone must not be enough.
REQUIRED_ROLES = (Role.SENDER, Role.PRIVACY, Role.ADMIN)
RECOVERY_CODE_COUNT = 8
#: A clock may be wrong by this many seconds.
CLOCK_SKEW = 30


class CodeWrong(NewsletterError):
    """Not a code of this account, or one that has been used."""

    message = N_("The code is wrong or has been used already. Wait for the next one.")


class Authenticator(Totp):
    """Flask-Security's TOTP, with the memory it lacks: a code is not taken twice."""

    def __init__(self, chosen: Settings, issuer: str) -> None:
        keys = (chosen.secret_key, *chosen.secret_key_fallbacks)
        super().__init__({_key_id(key): _derive_key(key) for key in keys}, issuer)
        self._totp.wallet.default_tag = _key_id(chosen.secret_key)  # it would take the largest

    def get_last_counter(self, user: UserMixin) -> int | None:
        """Return the time step of the last code that was taken."""
        return _as_staff(user).totp_counter

    def set_last_counter(self, user: UserMixin, tmatch: Any) -> None:  # noqa: ANN401 - passlib has no types
        """Keep the time step of the code that was just taken."""
        _as_staff(user).totp_counter = tmatch.counter


def init_app(app: Flask, chosen: Settings) -> None:
    """Prepare the authenticator with the keys in force and those before them."""
    app.extensions["newsletter.authenticator"] = Authenticator(chosen, chosen.sender_name or "Newsletter")


def get_authenticator() -> Authenticator:
    """Return the application's."""
    found: Authenticator = current_app.extensions["newsletter.authenticator"]
    return found


def enable(account: Staff, secret: str, code: str, *, now: datetime) -> list[str]:
    """Switch the second step on once its first code is right; return the recovery codes, shown once.

    Raises CodeWrong.
    """
    account.totp_counter = None
    if not get_authenticator().verify_totp(_normalize_code(code), secret, account, CLOCK_SKEW):
        raise CodeWrong
    account.totp_secret = secret
    audit.record("second step set up", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")
    return generate_recovery_codes(account)


def verify_code(account: Staff, code: str, *, now: datetime) -> None:
    """Take a code, or use a recovery code up; raise CodeWrong. The account must be locked."""
    digits = _normalize_code(code)
    if account.totp_secret and get_authenticator().verify_totp(
        digits, account.totp_secret, account, CLOCK_SKEW
    ):
        return
    used = hash_secret(digits.casefold().replace("-", "").encode())
    if used not in account.recovery_hashes:
        raise CodeWrong
    account.recovery_hashes = [kept for kept in account.recovery_hashes if kept != used]
    audit.record("recovery code used", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")


def accepts_code(account: Staff) -> bool:
    """Tell whether an account has any code that it could give."""
    return account.has_authenticator or bool(account.recovery_hashes)


def generate_recovery_codes(account: Staff) -> list[str]:
    """Replace the recovery codes; what is kept of them are hashes."""
    codes = [secrets.token_hex(8) for _number in range(RECOVERY_CODE_COUNT)]
    account.recovery_hashes = [hash_secret(code.encode()) for code in codes]
    return ["-".join(code[start : start + 4] for start in range(0, 16, 4)) for code in codes]


def disable(account: Staff, *, now: datetime, actor: str) -> None:
    """Take the second step away from somebody who has lost it, passkeys included."""
    account.totp_secret = account.totp_counter = None
    account.recovery_hashes = []
    execute_dml(sa.delete(StaffPasskey).where(StaffPasskey.staff_id == account.id))
    db.session.expire(account, ["passkey_count"])
    audit.record("second step removed", actor=actor, now=now, object=f"staff:{account.id}")


def _as_staff(user: UserMixin) -> Staff:
    assert isinstance(user, Staff)  # noqa: S101 - for mypy: our datastore knows no other users
    return user


def _normalize_code(code: str) -> str:
    return "".join(code.split())[:40]


def _key_id(key: str) -> str:
    return hashlib.sha256(b"authenticator " + key.encode()).hexdigest()[:8]


def _derive_key(key: str) -> str:
    return hmac.digest(key.encode(), b"authenticator", "sha256").hex()
