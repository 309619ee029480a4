"""Parsers of the settings' texts. Each raises ValueError with a sentence on what to give instead."""

import ipaddress
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from limits import parse_many
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from newsletter.config import internet_names

KNOWN_LANGUAGES = ("fi", "en")
#: RFC 8301 has 1024 as the least, and asks for this.
MIN_DKIM_KEY_BITS = 2048


def boolean(text: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "": False}
    known |= {"0": False, "false": False, "no": False, "off": False}
    try:
        return known[text.strip().lower()]
    except KeyError:
        raise ValueError("say true or false") from None


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ValueError(f"give a whole number from {low} to {high}")
        return number

    return parse


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 3600:  # noqa: PLR2004 - an hour, in seconds
        raise ValueError("give a number of seconds above 0")
    return number


def comma_separated(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def languages(text: str) -> tuple[str, ...]:
    codes = comma_separated(text)
    if not codes or set(codes) - set(KNOWN_LANGUAGES):
        raise ValueError(f"name at least one of {', '.join(KNOWN_LANGUAGES)}")
    return codes


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return text

    return parse


def timezone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("give a time zone such as Europe/Helsinki") from None


def base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("give an address such as https://news.example")
    return internet_names.web_address(text).rstrip("/")


def issuer(text: str) -> str:
    """Read an issuer of OpenID Connect, which is compared letter by letter: its last slash stays."""
    if not text:
        return text
    base_url(text)
    return text


def origins(text: str) -> tuple[str, ...]:
    """Read origins as browsers write them, so that they can be compared letter by letter."""
    found = []
    for word in map(internet_names.web_address, comma_separated(text.lower())):
        # The names go into a header: nothing that means something there gets through.
        parts = re.fullmatch(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?/?", word)
        if parts is None:
            raise ValueError("name each site as https://www.example.com, with a port if it has one")
        scheme, host, port = parts.groups()
        standard = {"http": "80", "https": "443"}[scheme]
        found.append(f"{scheme}://{host}" + (f":{port}" if port and port != standard else ""))
    return tuple(dict.fromkeys(found))


def hosts(text: str) -> tuple[str, ...]:
    found = tuple(map(internet_names.to_a_labels, comma_separated(text.lower())))
    if any(not re.fullmatch(r"[a-z0-9.-]+", word) for word in found):
        raise ValueError("name hosts such as shop.example.com, without https:// and without a port")
    return found


def database_url(text: str) -> URL:
    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError("give postgresql://… or sqlite:///…") from None
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"postgresql", "sqlite"}:
        raise ValueError("give postgresql://… or sqlite:///…")
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("give the path of a file: several processes share it")
    return url


def limits(text: str) -> str:
    try:
        parse_many(text)
    except ValueError:
        raise ValueError("give limits such as 5/minute;20/hour") from None
    return text.strip()


def day_and_time(text: str) -> tuple[int, int, int]:
    found = re.fullmatch(r"(\d{1,2}) (\d{1,2}):(\d{2})", text.strip())
    day, hour, minute = map(int, found.groups()) if found else (0, 0, 0)
    if not (1 <= day <= 31 and hour <= 23 and minute <= 59):  # noqa: PLR2004 - a day and a time of day
        raise ValueError("give a day of January and a time, such as 15 03:00")
    return day, hour, minute


def colour(text: str) -> str:
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError("give a colour such as #0b6a58")
    return text.lower()


def font(text: str) -> str:
    # It goes into style sheets as it stands.
    if not re.fullmatch(r"[\w ,'\"-]+", text, re.ASCII):
        raise ValueError("name fonts with commas between, such as Georgia, 'Times New Roman', serif")
    return text.replace('"', "'")


def image_url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^\s\"'<>]+", text):
        raise ValueError("give the whole address of a picture, such as https://www.example.com/logo.png")
    return text


def dkim_keys(text: str) -> tuple[str, ...]:
    """Read private keys, each the path of a PEM file or its content; commas stand between them."""
    found = []
    for word in comma_separated(text.replace("\\n", "\n")):
        try:
            pem = word if word.startswith("-----BEGIN") else Path(word).read_text(encoding="ascii")
            key = load_pem_private_key(pem.encode("ascii"), password=None)
        except OSError as error:
            raise ValueError(f"the file cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # Never what stands in it.
            raise ValueError("give the path or the content of a PEM file with a key, no password") from None
        is_long = isinstance(key, rsa.RSAPrivateKey) and key.key_size >= MIN_DKIM_KEY_BITS
        if not is_long and not isinstance(key, ed25519.Ed25519PrivateKey):
            raise ValueError(f"give an RSA key of {MIN_DKIM_KEY_BITS} bits or more, or an Ed25519 key")
        found.append(pem)
    return tuple(found)


def host_labels(text: str) -> tuple[str, ...]:
    found = comma_separated(text.lower())
    if any(not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", word) for word in found):
        raise ValueError("use letters, digits, hyphens and dots")
    return found


def domain(text: str) -> str:
    return next(iter(host_labels(internet_names.to_a_labels(text.strip()))), "")


def mail_address(text: str) -> str:
    return internet_names.mail_address(one_line(text))


def server_name(text: str) -> str:
    return internet_names.host(one_line(text))


def warm_up(text: str) -> tuple[date, tuple[int, ...]] | None:
    if not text:
        return None
    begins, _space, ceilings = text.strip().partition(" ")
    try:
        found = date.fromisoformat(begins), tuple(int(word) for word in comma_separated(ceilings))
    except ValueError:
        found = date.min, ()
    if not found[1] or min(found[1]) < 1:
        raise ValueError("give a day and ceilings, such as 2027-01-15 200,500,1000,2000,5000")
    return found


def addresses(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_address(word)) for word in comma_separated(text))
    except ValueError:
        raise ValueError("give IP addresses such as 192.0.2.25,2001:db8::25") from None


def mailboxes(text: str) -> tuple[str, ...]:
    found = comma_separated(text)
    if not all(re.fullmatch(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+", word) for word in found):
        raise ValueError("give e-mail addresses such as tietosuoja@company.example,it@company.example")
    return found


def name_server(text: str) -> tuple[str, int] | None:
    """Read an IPv4 address, or one in brackets, with a port behind it or none."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([0-9.]+))(?::(\d{1,5}))?", text)
    if not text:
        return None
    try:
        six, four, port = found.groups() if found else ("", "", "")
        return str(ipaddress.ip_address(six or four)), int(port or 53)
    except ValueError:
        raise ValueError("give an address such as 192.0.2.53 or [2001:db8::53]:5353") from None


def bounce_address(text: str) -> str:
    address = text.strip() if text.strip() in {"", "off"} else mail_address(text)
    local, _at, domain = address.rpartition("@")
    # RFC 5321 leaves 64 characters before the @; a token with its sign and letter takes 42.
    if address not in {"", "off"} and not (domain and re.fullmatch(r"[\w.+=-]{1,22}", local, re.ASCII)):
        raise ValueError("give an address with at most 22 characters before the @, or off")
    return address


def percentage(text: str) -> float:
    try:
        percent = float(text.removesuffix("%").replace(",", "."))
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:  # noqa: PLR2004 - per cent
        raise ValueError("give a percentage above 0, such as 0.30")
    return percent / 100


def one_line(text: str) -> str:
    if any(ord(character) < 32 for character in text):  # noqa: PLR2004 - control characters
        raise ValueError("keep it on one line")
    return text.strip()


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


def is_ip_address(host: str) -> bool:
    """Tell whether a host is named by its address."""
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False
