"""Hosts and mail addresses of ours, in the letters that DNS and mail servers take: A-labels (RFC 5890)."""

import re
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

import idna
from publicsuffixlist import PublicSuffixList

_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE)
_LONGEST_LOCAL_PART, _LONGEST_HOST = 64, 253


def to_a_labels(host: str) -> str:
    """Write a host in ASCII: äänekoski.fi is xn--nekoski-4waa.fi. Raises ValueError for what is no host."""
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError(f"{host} is no name that DNS knows; write it as its registrar does") from None


def organizational_domain(domain: str) -> str:
    """Return the part of a domain that somebody can register, which DMARC goes by (RFC 7489, 3.2).

    That of news.example.co.uk is example.co.uk. A domain without one is returned as it is.
    """
    domain = domain.lower().rstrip(".")
    return _public_suffixes().privatesuffix(domain) or domain


@lru_cache(maxsize=1)
def _public_suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def host(text: str) -> str:
    """Read the name or address of a server; it may be empty."""
    found = to_a_labels(text.strip())
    if any(character.isspace() or character in "/@<>" for character in found):
        raise ValueError("give the name of a server alone, such as smtp.news.example")
    return found


def mail_address(text: str) -> str:
    """Read one mail address without a name around it; it may be empty."""
    address = text.strip()
    if not address:
        return ""
    local, _at, domain = address.rpartition("@")
    if "<" in address or '"' in address:
        raise ValueError(
            "give the address alone, such as news@example.com; NEWSLETTER_SENDER_NAME is for names"
        )
    if "@" in local or any(character in address for character in ",; \t"):
        raise ValueError("give one address only, such as news@example.com")
    if not local.isascii():
        raise ValueError(
            "use letters a to z before the @: many servers take no mail from an address with others"
        )
    domain = to_a_labels(domain)
    is_whole = _LOCAL_PART.fullmatch(local) and _HOST.fullmatch(domain) and ".." not in domain
    if not is_whole or len(local) > _LONGEST_LOCAL_PART or len(domain) > _LONGEST_HOST:
        raise ValueError("give an address such as news@example.com")
    return f"{local}@{domain}"


def web_address(text: str) -> str:
    """Write a web address in ASCII: the host in A-labels, the path with percent signs."""
    if text.isascii():
        return text
    parts = urlsplit(text)
    named = to_a_labels(parts.hostname or "")
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, named + port, quote(parts.path, safe="/%~:@!$&'()*+,;="), "", ""))
