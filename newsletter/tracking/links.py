"""Tracked links: stored when an edition is compiled, resolved by the gateway."""

from collections.abc import Sequence

from newsletter.db import db
from newsletter.tracking.models import Link, LinkTotals
from newsletter.web.signed_tokens import SignedLink

#: Edition, subscriber. One token serves the pixel and every link of one person's mail.
HIT_TOKEN = SignedLink("hit", "II")


def store_links(edition_id: int, addresses: Sequence[str]) -> None:
    """Store where the links of an edition lead, numbered from 1."""
    for number, address in enumerate(addresses, start=1):
        db.session.add(Link(edition_id=edition_id, number=number, url=address))
    db.session.flush()
    for number in range(1, len(addresses) + 1):
        db.session.add(LinkTotals(edition_id=edition_id, number=number))


def pixel_path(token: str) -> str:
    """Return the path of the picture that records an open."""
    return f"/o/{token}"


def click_path(token: str, number: int) -> str:
    """Return the path that records a click on link ``number`` and leads on to it."""
    return f"/c/{token}/{number}"


def honeypot_path(token: str) -> str:
    """Return the path of the hidden link that only scanners follow (TR-7)."""
    return click_path(token, 0)
