"""Can a receiver use the DKIM record that stands under a selector (RFC 6376, 3.6.1)?"""

from collections.abc import Sequence

from newsletter.mail.dkim import Key


def parse_tags(text: str) -> dict[str, str]:
    """Return the tags of a DKIM or DMARC record, in the order in which they stand."""
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): "".join(value.split()) for name, _equals, value in pairs if name.strip()}


def find_fault(texts: Sequence[str], key: Key | None) -> str:
    """Return the key of the message that says what is wrong with what is published; "" for nothing.

    ``key`` is the one that signs; None where that is the mail server's business.
    """
    published = [tags for tags in map(parse_tags, texts) if "p" in tags]
    usable = [tags for tags in published if tags["p"]]
    if not usable:
        return "dkim_missing" if key else "dkim_relay_missing"
    if len(published) > 1:
        return "dkim_several"
    (tags,) = usable
    ours = parse_tags(key.record) if key else tags
    found = {
        # A record without a version is one; a version that is none makes it something else.
        "dkim_version": "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"),
        "dkim_kind": tags.get("k", "rsa").lower() not in {ours.get("k", "rsa")} & {"rsa", "ed25519"},
        "dkim_service": not {"*", "email"} & set(tags.get("s", "*").lower().split(":")),
        "dkim_hash": "sha256" not in tags.get("h", "sha256").lower().split(":"),
        "dkim_differs": tags["p"] != ours["p"],
    }
    return next((word for word, is_so in found.items() if is_so), "")
