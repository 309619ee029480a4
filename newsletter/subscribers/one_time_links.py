"""One-time links sent to a mailbox, for what the holder of a forwarded newsletter must not be able to do.

A link is valid for 30 minutes and works once; one sent by the rights desk is valid for a week. A GET
changes nothing; the button on its page does.
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
from newsletter.subscribers.models import LinkPurpose, OneTimeLink, Subscriber
from newsletter.subscribers.suppressions import find_suppression
from newsletter.web.signed_tokens import hash_secret

LINK_LIFETIME = timedelta(minutes=30)
#: Links of one purpose to one person: anyone who was forwarded a newsletter can request them.
MAX_PER_HOUR = 3
#: Rows are kept this long, for the hourly limit.
DELETE_AFTER = timedelta(days=retention.LINK_DAYS)

#: The endpoint of each purpose; those of the data export and the erasure belong to the privacy package.
LINK_ENDPOINTS = {
    LinkPurpose.ADDRESS: "own_details.address",
    LinkPurpose.NEW_ADDRESS: "own_details.new_address",
    LinkPurpose.CHOICE: "own_details.choice",
    LinkPurpose.COPY: "own_data.copy",
    LinkPurpose.ERASURE: "own_data.erasure",
}


class FreshLinkExpired(LinkExpired):
    """A genuine one-time link that has expired or was used."""

    message = N_("The link is no longer valid. Ask for a new one on your own details page.")


def send_link(
    subscriber: Subscriber,
    purpose: LinkPurpose,
    *,
    now: datetime,
    language: str | None = None,
    allows_tracking: bool = False,
) -> None:
    """Enqueue a mail with a one-time link to the person's own mailbox; the caller holds the row lock.

    Nothing is sent to a suppressed person, or beyond MAX_PER_HOUR; the caller is not told, as the page says
    the same to everybody.
    """
    recent = sa.select(sa.func.count()).where(
        OneTimeLink.subscriber_id == subscriber.id,
        OneTimeLink.purpose == purpose,
        OneTimeLink.created_at > now - timedelta(hours=1),
    )
    if find_suppression(subscriber.address_key) or (db.session.scalar(recent) or 0) >= MAX_PER_HOUR:
        return
    _link, url = _create_link(subscriber, purpose, now, language=language, allows_tracking=allows_tracking)
    outbox.enqueue(
        "fresh_link",
        to=subscriber.address,
        language=subscriber.language,
        now=now,
        subscriber_id=subscriber.id,
        context={"purpose": purpose.value, "url": url, "expires_at": (now + LINK_LIFETIME).isoformat()},
    )


def send_link_to_new_address(
    subscriber: Subscriber, address: Address, *, now: datetime, lasts: timedelta = LINK_LIFETIME
) -> OneTimeLink:
    """Enqueue the mail with the link that proves a new address, and return the link.

    The mail goes to the new address and names nobody.
    """
    link, url = _create_link(subscriber, LinkPurpose.NEW_ADDRESS, now, new_address=address.text, lasts=lasts)
    outbox.enqueue(
        "new_address",
        to=address.text,
        language=subscriber.language,
        now=now,
        subscriber_id=subscriber.id,
        context={"url": url, "expires_at": link.expires_at.isoformat()},
    )
    return link


def find_link(token: str, purpose: LinkPurpose, *, now: datetime) -> OneTimeLink:
    """Return a link that is still valid; raise LinkInvalid or FreshLinkExpired."""
    (secret,) = links.ONE_TIME.read(token)
    link = db.session.scalar(sa.select(OneTimeLink).where(OneTimeLink.token_hash == hash_secret(secret)))
    if link is None or link.purpose is not purpose or link.used_at is not None or now >= link.expires_at:
        raise FreshLinkExpired
    return link


def use_link(token: str, purpose: LinkPurpose, *, now: datetime) -> tuple[OneTimeLink, Subscriber]:
    """Mark a link as used, in the caller's transaction; return it and the subscriber, locked.

    Of two concurrent uses one succeeds; the other raises FreshLinkExpired.
    """
    link = find_link(token, purpose, now=now)
    # The subscriber is locked first, as in an erasure: another order would deadlock.
    subscriber = db.session.get(Subscriber, link.subscriber_id, with_for_update=True)
    unused = sa.update(OneTimeLink).where(OneTimeLink.id == link.id, OneTimeLink.used_at.is_(None))
    if subscriber is None or not execute_dml(unused.values(used_at=now)):
        raise FreshLinkExpired
    return link, subscriber


def revoke_links(subscriber: Subscriber) -> None:
    """Delete all one-time links of a person."""
    execute_dml(sa.delete(OneTimeLink).where(OneTimeLink.subscriber_id == subscriber.id))


def delete_old_links(now: datetime) -> int:
    """Delete links that are used or expired and no longer counted by a limit; return how many. Commits."""
    is_over = sa.or_(OneTimeLink.expires_at <= now, OneTimeLink.used_at.is_not(None))
    forgotten = execute_dml(
        sa.delete(OneTimeLink).where(OneTimeLink.created_at <= now - DELETE_AFTER, is_over)
    )
    db.session.commit()
    return forgotten


def _create_link(
    subscriber: Subscriber,
    purpose: LinkPurpose,
    now: datetime,
    *,
    new_address: str | None = None,
    language: str | None = None,
    allows_tracking: bool = False,
    lasts: timedelta = LINK_LIFETIME,
) -> tuple[OneTimeLink, str]:
    secret = secrets.token_bytes(16)
    link = OneTimeLink(
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
    return link, links.token_url(LINK_ENDPOINTS[purpose], links.ONE_TIME.make(secret), subscriber.language)
