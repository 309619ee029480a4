"""What a server refuses at once says of the address what a report says an hour later, and counts alike."""

from datetime import datetime

from newsletter.bounces import apply
from newsletter.bounces.apply import ReportedMail
from newsletter.bounces.matching import MatchedMail
from newsletter.bounces.parser import Report, judged
from newsletter.bounces.receive import note_refusal
from newsletter.mail import outbox
from newsletter.mail.models import OutboxMail
from newsletter.mail.replies.models import Said, Whose
from newsletter.mail.return_path import OUTBOX_CAMPAIGN, SentMail
from newsletter.mail.smtp.transport import Reply
from newsletter.sending.worker import record


def init_app() -> None:
    """Hear of refusals in the transactions that record them."""
    record.refused.connect(campaign_refused)
    outbox.refused.connect(mail_refused)


def campaign_refused(
    _sender: object, *, campaign_id: int, subscriber_id: int, reply: Reply, now: datetime
) -> None:
    """Carry out what the refusal of a campaign's copy says of its person."""
    sent = SentMail(campaign_id, subscriber_id)
    reading, about = _reading(reply), apply.find_reported_mail(sent)
    if reading is not None and about is not None:
        note_refusal(reading, MatchedMail(sent), about, now=now)


def mail_refused(_sender: object, *, mail: OutboxMail, reply: Reply, now: datetime) -> None:
    """Carry out what the refusal of a single mail says of its person."""
    reading = _reading(reply)
    if reading is not None and reply.whose is Whose.PERSON_FOR_GOOD:
        sent = SentMail(OUTBOX_CAMPAIGN, mail.id)
        note_refusal(reading, MatchedMail(sent), ReportedMail(sent, mail.subscriber_id, mail=mail), now=now)


def _reading(reply: Reply) -> Report | None:
    return judged(Said(reply.stage, reply.text, code=reply.code)) if reply.stage else None
