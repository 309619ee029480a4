"""Login throttling that slows guessing down without locking the owner out (SS-4).

Attempts count per network, and per account and network. Those of an account from everywhere together
count too, codes of the second factor among them (an IPv6 /48 alone has 65,536 networks), but never against
a network its owner has logged in from: an attack from elsewhere cannot lock the office out. A password
reset by mail goes to the owner alone.
"""

from newsletter.errors import N_, NewsletterError
from newsletter.ratelimit import limiter
from newsletter.ratelimit.limiter import client_key, client_network
from newsletter.staff.auth.sessions import has_used_network
from newsletter.staff.models import Staff
from newsletter.web.signed_tokens import hash_secret

LOGINS_PER_NETWORK = "60/10minute"
LOGINS_PER_ACCOUNT_AND_NETWORK = "8/10minute;40/day"
LOGINS_PER_ACCOUNT = "50/hour"
CODES_PER_ACCOUNT_AND_NETWORK = "8/10minute;40/day"
CODES_PER_ACCOUNT = "20/10minute;100/day"
#: Between the password and the code; what is right opens, so all but the last are wrong.
CODES_PER_LOGIN = "5/day"
OWNER_NOTICE_INTERVAL = 24 * 60 * 60
PASSKEYS_PER_NETWORK = "60/10minute"
OPENID_PER_NETWORK = "60/10minute"
RESETS_PER_NETWORK = "10/hour"
RESETS_PER_ACCOUNT = "3/hour"


class TooManyAttempts(NewsletterError):
    """Wait a little."""

    message = N_("Too many attempts. Wait ten minutes, or ask for a new password.")


class LoginEnded(NewsletterError):
    """The password was right, and too many codes after it were wrong."""

    message = N_("Too many wrong codes. Log in again with your password.")


def count_login_attempt(email: str, account: Staff | None) -> None:
    """Count a try to sign in, before its password is looked at; raise TooManyAttempts."""
    who, name = client_key(), _hash_email(email)
    within = limiter.hit(LOGINS_PER_NETWORK, "login", who)
    within &= limiter.hit(LOGINS_PER_ACCOUNT_AND_NETWORK, "login", name, who)
    if account is None or not has_used_network(account, client_network()):
        within &= limiter.hit(LOGINS_PER_ACCOUNT, "login", name)
    if not within:
        raise TooManyAttempts


def reset_login_attempts(email: str) -> None:
    """Reset the attempts of somebody who logged in."""
    limiter.clear_counts(LOGINS_PER_ACCOUNT_AND_NETWORK, "login", _hash_email(email), client_key())


def count_code_attempt(account: Staff, *, is_passkey: bool = False) -> None:
    """Count a try of a second factor, before it is looked at; raise TooManyAttempts.

    A passkey cannot be guessed, so it is not held up by guesses from elsewhere.
    """
    within = limiter.hit(CODES_PER_ACCOUNT_AND_NETWORK, "code", str(account.id), client_key())
    if not is_passkey and not has_used_network(account, client_network()):
        within &= limiter.hit(CODES_PER_ACCOUNT, "code", str(account.id))
    if not within:
        raise TooManyAttempts


def count_login_code(login_id: str) -> None:
    """Count a try of a code in a login that is half done; raise LoginEnded after the last one it has.

    The count stands on our side, so that a kept cookie has no more tries than the browser.
    """
    if not limiter.hit(CODES_PER_LOGIN, "login-code", login_id):
        raise LoginEnded


def has_login_code_left(login_id: str) -> bool:
    """Tell whether a login that is half done may try another code."""
    return limiter.has_room(CODES_PER_LOGIN, "login-code", login_id)


def may_notify_owner(account: Staff) -> bool:
    """Tell whether the owner has not been told of wrong codes within a day."""
    return limiter.is_first_use(f"wrong-codes/{account.id}", OWNER_NOTICE_INTERVAL)


def count_passkey_attempt() -> None:
    """Count a try to sign in with a passkey; raise TooManyAttempts."""
    if not limiter.hit(PASSKEYS_PER_NETWORK, "passkey", client_key()):
        raise TooManyAttempts


def count_openid_start() -> None:
    """Count a start of signing in elsewhere, which asks the provider something; raise TooManyAttempts."""
    if not limiter.hit(OPENID_PER_NETWORK, "openid", client_key()):
        raise TooManyAttempts


def may_send_reset(email: str) -> bool:
    """Count a wish for a new password, and tell whether a mail may go out for it."""
    within = limiter.hit(RESETS_PER_NETWORK, "reset", client_key())
    return limiter.hit(RESETS_PER_ACCOUNT, "reset", _hash_email(email)) and within


def _hash_email(email: str) -> str:
    """Return a hash of an address: the counters store no address."""
    return hash_secret(email.strip().casefold().encode())[:32]
