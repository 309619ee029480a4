"""The audience of a campaign, and who on its lists is excluded; enqueued by the same conditions."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from newsletter.campaigns.drafts import get_campaign_lists
from newsletter.campaigns.models import Campaign
from newsletter.db import db
from newsletter.subscribers.models import (
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    Suppression,
)

#: Why somebody on a list is excluded; the first that fits counts.
EXCLUSION_REASONS = ("unconfirmed", "left", "suppressed", "restricted")
_RECEIVES = "gets"


@dataclass(frozen=True, slots=True)
class ListAudience:
    """One list: how many on it the campaign reaches, and the others by reason."""

    mailing_list: MailingList
    gets: int
    by_language: dict[str, int]
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Audience:
    """Who gets a campaign. Each person gets one mail, however many of its lists they are on."""

    recipients: int
    lists: Sequence[ListAudience]
    #: Recipients by their own language, and by the language of the edition they get.
    by_language: dict[str, int]
    by_edition: dict[str, int]

    @property
    def spared(self) -> int:
        """How many mails are saved by sending each person one."""
        return sum(item.gets for item in self.lists) - self.recipients


def is_recipient(list_ids: Sequence[int]) -> sa.ColumnElement[bool]:
    """Return the condition that a subscription and its subscriber receive a campaign."""
    return sa.and_(
        Subscription.list_id.in_(list_ids),
        Subscription.status == SubscriptionStatus.CONFIRMED,
        Subscriber.restricted_at.is_(None),
        ~_is_suppressed(),
    )


def audience_of(campaign: Campaign) -> Audience:
    """Count whom a campaign would reach if it were sent now."""
    lists = get_campaign_lists(campaign)
    list_ids = [mailing_list.id for mailing_list in lists]
    people = sa.func.count(Subscription.subscriber_id.distinct())
    rows = db.session.execute(
        sa.select(Subscriber.language, people)
        .join(Subscription, Subscription.subscriber_id == Subscriber.id)
        .where(is_recipient(list_ids))
        .group_by(Subscriber.language)
    )
    by_language = {str(language): int(number) for language, number in rows}
    by_edition: Counter[str] = Counter()
    for language, number in by_language.items():
        by_edition[campaign.edition_for(language).language] += number
    return Audience(
        recipients=sum(by_language.values()),
        lists=_count_by_list(lists, list_ids),
        by_language=by_language,
        by_edition=dict(by_edition),
    )


def _count_by_list(lists: Sequence[MailingList], list_ids: Sequence[int]) -> list[ListAudience]:
    outcome = sa.case(
        (Subscription.status == SubscriptionStatus.PENDING, "unconfirmed"),
        (Subscription.status == SubscriptionStatus.UNSUBSCRIBED, "left"),
        (_is_suppressed(), "suppressed"),
        (Subscriber.restricted_at.is_not(None), "restricted"),
        else_=_RECEIVES,
    ).label("outcome")
    rows = db.session.execute(
        sa.select(Subscription.list_id, outcome, Subscriber.language, sa.func.count())
        .join(Subscriber, Subscriber.id == Subscription.subscriber_id)
        .where(Subscription.list_id.in_(list_ids))
        .group_by(Subscription.list_id, sa.text("outcome"), Subscriber.language)
    )
    found: defaultdict[int, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for list_id, what, language, number in rows:
        found[list_id][what][language] = number
    return [
        ListAudience(
            mailing_list=item,
            gets=found[item.id][_RECEIVES].total(),
            by_language=dict(sorted(found[item.id][_RECEIVES].items())),
            left_out={reason: found[item.id][reason].total() for reason in EXCLUSION_REASONS},
        )
        for item in lists
    ]


def _is_suppressed() -> sa.ColumnElement[bool]:
    return sa.exists().where(Suppression.address_hash == Subscriber.address_hash)
