"""Login throttling that slows guessing down without locking the owner out (SS-4).

Failed attempts count per network, and per account and network. Those of an account from everywhere together
count too, but never against a network its owner has logged in from: an attack from elsewhere cannot lock the
office out. A password reset by mail goes to the owner alone.
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
CODES_PER_ACCOUNT = "8/10minute;40/day"
PASSKEYS_PER_NETWORK = "60/10minute"
OPENID_PER_NETWORK = "60/10minute"
RESETS_PER_NETWORK = "10/hour"
RESETS_PER_ACCOUNT = "3/hour"


class TooManyAttempts(NewsletterError):
    """Wait a little."""

    message = N_("Too many attempts. Wait ten minutes, or ask for a new password.")


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


def count_code_attempt(account: Staff) -> None:
    """Count a try of a code; raise TooManyAttempts."""
    if not limiter.hit(CODES_PER_ACCOUNT, "code", str(account.id), client_key()):
        raise TooManyAttempts


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
