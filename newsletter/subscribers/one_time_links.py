"""Fresh links: what a forwarded newsletter must not be able to do goes through the mailbox.

A link works for 30 minutes and once, or for a week where the rights desk sent it, whose answer may go by
letter. Opening it changes nothing; its button does.
"""

import secrets
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter import retention
from newsletter.db import db, execute_dml
from newsletter.errors import N_, LinkExpired
from newsletter.mail import outbox
from newsletter.subscribers import links
from newsletter.subscribers.addresses import Address
from newsletter.subscribers.models import FreshLink, LinkPurpose, Subscriber
from newsletter.subscribers.suppressions import find_suppression
from newsletter.web.signed_tokens import hash_secret

LASTS = timedelta(minutes=30)
#: Links of a kind to a person: whoever was forwarded a newsletter can ask for them.
MOST_AN_HOUR = 3
#: A link is remembered this long, to count how many there were.
FORGET_AFTER = timedelta(days=retention.LINK_DAYS)

#: The page behind each link; those of the copy and the erasure stand on a rung above.
PAGES = {
    LinkPurpose.ADDRESS: "own_details.address",
    LinkPurpose.NEW_ADDRESS: "own_details.new_address",
    LinkPurpose.CHOICE: "own_details.choice",
    LinkPurpose.COPY: "own_data.copy",
    LinkPurpose.ERASURE: "own_data.erasure",
}


class FreshLinkExpired(LinkExpired):
    """A genuine link that is too old, or that has been used."""

    message = N_("The link is no longer valid. Ask for a new one on your own details page.")


def send_link(
    subscriber: Subscriber,
    purpose: LinkPurpose,
    *,
    now: datetime,
    language: str | None = None,
    allows_tracking: bool = False,
) -> None:
    """Send a link to a person's own mailbox; the caller holds the lock on the person.

    Someone suppressed, or who was sent MOST_AN_HOUR already, is sent nothing, and the caller is
    not told: the page says the same to whoever asks.
    """
    recent = sa.select(sa.func.count()).where(
        FreshLink.subscriber_id == subscriber.id,
        FreshLink.purpose == purpose,
        FreshLink.created_at > now - timedelta(hours=1),
    )
    if find_suppression(subscriber.address_key) or (db.session.scalar(recent) or 0) >= MOST_AN_HOUR:
        return
    _link, url = _make(subscriber, purpose, now, language=language, allows_tracking=allows_tracking)
    outbox.enqueue(
        "fresh_link",
        to=subscriber.address,
        language=subscriber.language,
        now=now,
        subscriber_id=subscriber.id,
        context={"purpose": purpose.value, "url": url, "expires_at": (now + LASTS).isoformat()},
    )


def send_link_to_new_address(
    subscriber: Subscriber, address: Address, *, now: datetime, lasts: timedelta = LASTS
) -> FreshLink:
    """Send the link that proves another address to that address, and return it; the mail names nobody."""
    link, url = _make(subscriber, LinkPurpose.NEW_ADDRESS, now, new_address=address.text, lasts=lasts)
    outbox.enqueue(
        "new_address",
        to=address.text,
        language=subscriber.language,
        now=now,
        subscriber_id=subscriber.id,
        context={"url": url, "expires_at": link.expires_at.isoformat()},
    )
    return link


def find_link(token: str, purpose: LinkPurpose, *, now: datetime) -> FreshLink:
    """Return a link that still works; raise LinkInvalid or FreshLinkExpired."""
    (secret,) = links.FRESH.read(token)
    link = db.session.scalar(sa.select(FreshLink).where(FreshLink.token_hash == hash_secret(secret)))
    if link is None or link.purpose is not purpose or link.used_at is not None or now >= link.expires_at:
        raise FreshLinkExpired
    return link


def use_link(token: str, purpose: LinkPurpose, *, now: datetime) -> tuple[FreshLink, Subscriber]:
    """Use a link up, in the caller's transaction, and return it with the person, locked.

    Of two presses at once one gets here; the other is refused (FreshLinkExpired).
    """
    link = find_link(token, purpose, now=now)
    # The person first, as an erasure does: two who lock in another order wait for each other for ever.
    subscriber = db.session.get(Subscriber, link.subscriber_id, with_for_update=True)
    unused = sa.update(FreshLink).where(FreshLink.id == link.id, FreshLink.used_at.is_(None))
    if subscriber is None or not execute_dml(unused.values(used_at=now)):
        raise FreshLinkExpired
    return link, subscriber


def withdraw_links(subscriber: Subscriber) -> None:
    """Let no link that was sent to this person work any more."""
    execute_dml(sa.delete(FreshLink).where(FreshLink.subscriber_id == subscriber.id))


def forget_links(now: datetime) -> int:
    """Delete the links that no limit counts and nobody can use any more; return how many. Commits."""
    is_over = sa.or_(FreshLink.expires_at <= now, FreshLink.used_at.is_not(None))
    forgotten = execute_dml(sa.delete(FreshLink).where(FreshLink.created_at <= now - FORGET_AFTER, is_over))
    db.session.commit()
    return forgotten


def _make(
    subscriber: Subscriber,
    purpose: LinkPurpose,
    now: datetime,
    *,
    new_address: str | None = None,
    language: str | None = None,
    allows_tracking: bool = False,
    lasts: timedelta = LASTS,
) -> tuple[FreshLink, str]:
    secret = secrets.token_bytes(16)
    link = FreshLink(
        subscriber_id=subscriber.id,
        purpose=purpose,
        token_hash=hash_secret(secret),
        new_address=new_address,
        language=language,
        allows_tracking=allows_tracking,
        created_at=now,
        expires_at=now + lasts,
    )
    db.session.add(link)
    db.session.flush()
    return link, links.address_of(PAGES[purpose], links.FRESH.make(secret), subscriber.language)
