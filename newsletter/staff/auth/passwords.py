"""What a password may be: long, and not one that everybody tries first (SS-1). Nothing else is asked."""

import re
import unicodedata
from functools import cache
from importlib.resources import files

from newsletter.errors import N_, NewsletterError

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200
#: With fewer different characters than this it is a row of keys, not a password.
FEWEST_DIFFERENT = 4
#: What a password must have besides the address and the words that everybody tries.
LEAST_OF_ITS_OWN = 6
_KEYS = ("abcdefghijklmnopqrstuvwxyzåäö", "0123456789", "qwertyuiopåasdfghjklöäzxcvbnm")


class PasswordRefused(NewsletterError):
    """Not a password we take."""


class PasswordTooShort(PasswordRefused):
    """Length is what makes a password strong."""

    message = N_("Choose a password of at least 12 characters.")


class PasswordTooLong(PasswordRefused):
    """Hashing without a limit would let anyone keep the machine busy."""

    message = N_("Choose a password of at most 200 characters.")


class PasswordCommon(PasswordRefused):
    """One of those that everybody tries first."""

    message = N_("This password is easy to guess. Choose a few words picked at random.")


def require_good(password: str, *, address: str) -> None:
    """Raise PasswordTooShort, PasswordTooLong or PasswordCommon for a password we do not take."""
    # As many characters as its reader sees, however they were typed.
    password = unicodedata.normalize("NFC", password)
    if len(password) < SHORTEST_PASSWORD:
        raise PasswordTooShort
    if len(password) > LONGEST_PASSWORD:
        raise PasswordTooLong
    if is_common(password, address=address):
        raise PasswordCommon


def is_common(password: str, *, address: str = "") -> bool:
    """Tell whether a password is among the first that an attacker tries."""
    folded = password.casefold()
    if len(set(folded)) < FEWEST_DIFFERENT or _is_row_of_keys(folded):
        return True
    unit = _repeated(folded)
    bare = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", unit)  # "Salasana2026!" is "salasana"
    if {unit, bare} & _common():
        return True
    rest = folded
    for word in re.split(r"[@.]", address.casefold()):
        rest = rest.replace(word, "") if len(word) > 2 else rest  # noqa: PLR2004 - "fi" is no name
    return rest != folded and len(re.sub(r"[\W\d_]", "", rest)) < LEAST_OF_ITS_OWN


def _repeated(text: str) -> str:
    """Return what a text repeats: "abcabc" is "abc" twice."""
    length = (text * 2).find(text, 1)
    return text[:length]


def _is_row_of_keys(text: str) -> bool:
    return any(text in row * 3 or text[::-1] in row * 3 for row in _KEYS)


@cache
def _common() -> frozenset[str]:
    kept = files("newsletter.staff.auth").joinpath("common_passwords.txt")
    lines = kept.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
