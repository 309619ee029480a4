"""Validation of settings that are each valid and conflict with each other."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from newsletter.config.internet_names import organizational_domain
from newsletter.config.parsers import is_ip_address, is_loopback


def find_conflicts(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the name of each setting that conflicts with others, and what to do."""
    keys, selectors = values.get("dkim_key", ()), values.get("dkim_selector", ())
    if keys and len(keys) != len(selectors):
        yield "DKIM_SELECTOR", f"name one for each of the {len(keys)} keys in DKIM_KEY"
    if _is_misaligned(values):
        yield "BOUNCE_ADDRESS", "take the domain of SENDER_ADDRESS, or one below it"
    if values.get("passkeys"):
        yield from _check_passkeys(values)
    if values.get("oidc_issuer"):
        yield from _check_openid(values)


def _is_misaligned(values: Mapping[str, Any]) -> bool:
    """Tell whether SPF is not aligned with the sender under this return path (RFC 7489, 3.1.2)."""
    theirs, ours = (
        values.get(name, "").rpartition("@")[2].lower() for name in ("bounce_address", "sender_address")
    )
    if not theirs or theirs == "off" or not ours or theirs == ours:
        return False
    return organizational_domain(theirs) != organizational_domain(ours)


def _check_passkeys(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find what keeps every browser from making a passkey here."""
    if find_spec("webauthn") is None:
        yield "PASSKEYS", "a package is missing; pip install 'newsletter[passkeys]'"
    address = urlsplit(values.get("base_url", ""))
    host = address.hostname or ""
    if is_ip_address(host) or (address.scheme != "https" and not is_loopback(host)):
        where = "set NEWSLETTER_BASE_URL to such an address"
        yield "PASSKEYS", f"browsers make passkeys for names, over https or at localhost; {where}"


def _check_openid(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    address = urlsplit(values["oidc_issuer"])
    if address.scheme != "https" and not is_loopback(address.hostname or ""):
        yield "OIDC_ISSUER", "give an address with https, as the provider writes it"
    if not all(map(find_spec, ("authlib", "joserfc", "requests"))):
        yield "OIDC_ISSUER", "a package is missing; pip install 'newsletter[oidc]'"
    if not values.get("oidc_client_id"):
        yield "OIDC_CLIENT_ID", "missing; the provider gives it when you enter this site there"
