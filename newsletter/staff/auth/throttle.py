"""Guessing is made slow without locking the owner out (SS-4).

Wrong tries count per network, and per account and network. Those of an account from everywhere
together count too, but never against a network that its owner has signed in from: a flood from
elsewhere cannot close the door of the office. And a new password by mail is open to the owner alone.
"""

from newsletter.errors import N_, NewsletterError
from newsletter.ratelimit import limiter
from newsletter.ratelimit.limiter import network, visitor
from newsletter.staff.auth.sessions import knows_network
from newsletter.staff.models import Staff
from newsletter.web.signed_tokens import hash_secret

PER_NETWORK = "60/10minute"
PER_ACCOUNT_AND_NETWORK = "8/10minute;40/day"
PER_ACCOUNT = "50/hour"
CODES = "8/10minute;40/day"
PASSKEYS_PER_NETWORK = "60/10minute"
OPENID_PER_NETWORK = "60/10minute"
RESETS_PER_NETWORK = "10/hour"
RESETS_PER_ACCOUNT = "3/hour"


class TooManyTries(NewsletterError):
    """Wait a little."""

    message = N_("Too many attempts. Wait ten minutes, or ask for a new password.")


def count_try(email: str, account: Staff | None) -> None:
    """Count a try to sign in, before its password is looked at; raise TooManyTries."""
    who, name = visitor(), _named(email)
    within = limiter.take(PER_NETWORK, "login", who)
    within &= limiter.take(PER_ACCOUNT_AND_NETWORK, "login", name, who)
    if account is None or not knows_network(account, network()):
        within &= limiter.take(PER_ACCOUNT, "login", name)
    if not within:
        raise TooManyTries


def forgive(email: str) -> None:
    """Forget the tries of somebody who turned out to be the owner."""
    limiter.give_back(PER_ACCOUNT_AND_NETWORK, "login", _named(email), visitor())


def count_code(account: Staff) -> None:
    """Count a try of a code; raise TooManyTries."""
    if not limiter.take(CODES, "code", str(account.id), visitor()):
        raise TooManyTries


def count_passkey() -> None:
    """Count a try to sign in with a passkey; raise TooManyTries."""
    if not limiter.take(PASSKEYS_PER_NETWORK, "passkey", visitor()):
        raise TooManyTries


def count_openid() -> None:
    """Count a start of signing in elsewhere, which asks the provider something; raise TooManyTries."""
    if not limiter.take(OPENID_PER_NETWORK, "openid", visitor()):
        raise TooManyTries


def may_reset(email: str) -> bool:
    """Count a wish for a new password, and tell whether a mail may go out for it."""
    within = limiter.take(RESETS_PER_NETWORK, "reset", visitor())
    return limiter.take(RESETS_PER_ACCOUNT, "reset", _named(email)) and within


def _named(email: str) -> str:
    """The counters keep no address of anyone."""
    return hash_secret(email.strip().casefold().encode())[:32]
