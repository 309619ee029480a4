"""An edition as it would arrive, for staff to look at: its bytes, and test mails to their own mailboxes."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.compose import compose
from newsletter.campaigns.drafts import get_campaign, lists_of
from newsletter.campaigns.editing import get_edition
from newsletter.campaigns.models import Campaign, Edition
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.mail.outbox import UNSIGNED, enqueue
from newsletter.sending.message.personalize import Filler, ListName, make_copies
from newsletter.staff.models import Staff
from newsletter.web.i18n import speaking, translate

#: The template name of a test mail; the message itself stands in its context.
TEST = "test"
#: Whose links a sample carries: nobody's, so that they work and change nothing.
NOBODY = 0
NO_ADDRESS = "reader@example.invalid"


class NotStaff(NewsletterError):
    """A test mail to anybody else would be a newsletter without consent."""

    message = N_("Test mails go only to people who have an account here. Choose at least one.")


def staff_addresses() -> Sequence[str]:
    """Return where test mails can go."""
    active = sa.select(Staff.email).where(Staff.active.is_(True))
    return db.session.scalars(active.order_by(Staff.email)).all()


def sample_message(
    campaign: Campaign,
    edition: Edition,
    *,
    to: str,
    now: datetime,
    subject: str | None = None,
    is_signed: bool = True,
) -> bytes:
    """Return an edition as one reader's copy, not measured and with nobody's links."""
    copy = Edition(
        id=edition.id,
        campaign_id=campaign.id,
        language=edition.language,
        subject=subject or edition.subject,
        preview=edition.preview,
        body=edition.body,
    )
    copy.compiled = make_copies(copy, compose(copy)).dump()
    first = lists_of(campaign)[0]
    filler = Filler(copy, {first.id: ListName(first.slug, first.name)})
    write = filler.fill if is_signed else filler.write
    return write(NOBODY, to, first.id, is_measured=False, now=now)


def send_test(
    campaign_id: int, languages: Sequence[str], addresses: Sequence[str], *, now: datetime, actor: str
) -> int:
    """Put test mails of some editions in the outbox and return how many.

    Raises NotStaff unless every address belongs to a member of staff.
    """
    campaign = get_campaign(campaign_id)
    if not addresses or set(addresses) - set(staff_addresses()):
        raise NotStaff
    for language in languages:
        edition = get_edition(campaign, language)
        with speaking(language):
            subject = translate(N_("Test: %(subject)s"), {"subject": edition.subject})
        for address in addresses:
            message = sample_message(campaign, edition, to=address, now=now, subject=subject, is_signed=False)
            context = {UNSIGNED: message.decode("ascii")}
            enqueue(TEST, to=address, language=language, now=now, context=context)
    number = len(languages) * len(addresses)
    audit.record("test mail sent", actor=actor, now=now, object=f"campaign:{campaign.id}", mails=number)
    return number
