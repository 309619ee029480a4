"""Test mails: an edition as it would arrive, as bytes, or sent to members of staff."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from newsletter.campaigns.content.compose import compose
from newsletter.campaigns.drafts import get_campaign, get_campaign_lists
from newsletter.campaigns.editing import get_edition
from newsletter.campaigns.models import Campaign, Edition
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.mail.outbox import UNSIGNED, enqueue
from newsletter.sending.message.personalize import ListName, Personalizer, compile_variants
from newsletter.staff.models import Staff
from newsletter.web.i18n import force_language, translate

#: The template name of a test mail in the outbox; the message itself is in its context.
TEST_TEMPLATE = "test"
#: The subscriber id in a sample's links: nobody's, so that they work and change nothing.
NO_SUBSCRIBER = 0
SAMPLE_ADDRESS = "reader@example.invalid"


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
    """Return an edition as a message to one address, without tracking and with nobody's links."""
    copy = Edition(
        id=edition.id,
        campaign_id=campaign.id,
        language=edition.language,
        subject=subject or edition.subject,
        preview=edition.preview,
        body=edition.body,
    )
    copy.compiled = compile_variants(copy, compose(copy)).dump()
    first = get_campaign_lists(campaign)[0]
    personalizer = Personalizer(copy, {first.id: ListName(first.slug, first.name)})
    write = personalizer.render if is_signed else personalizer.render_unsigned
    return write(NO_SUBSCRIBER, to, first.id, is_measured=False, now=now)


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
        with force_language(language):
            subject = translate(N_("Test: %(subject)s"), {"subject": edition.subject})
        for address in addresses:
            message = sample_message(campaign, edition, to=address, now=now, subject=subject, is_signed=False)
            context = {UNSIGNED: message.decode("ascii")}
            enqueue(TEST_TEMPLATE, to=address, language=language, now=now, context=context)
    number = len(languages) * len(addresses)
    audit.record("test mail sent", actor=actor, now=now, object=f"campaign:{campaign.id}", mails=number)
    return number
