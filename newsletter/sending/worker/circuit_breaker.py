"""Circuit breaker of sending: faults of ours pause the campaign instead of failing its deliveries.

Such faults: the login is refused, the certificate is invalid, every mail is refused by policy (5.7.x), or
the server has been unreachable for a while. Staff see the reason, mend it, and resume.
"""

import logging
import threading
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import current_app

from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import execute_dml
from newsletter.errors import N_
from newsletter.ledger import audit
from newsletter.mail.replies.models import Fault, Whose
from newsletter.mail.replies.rules import RULES
from newsletter.mail.smtp.transport import Reply
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.outcomes import redact_addresses

log = logging.getLogger(__name__)

#: So many consecutive mails refused for a fault of ours open the breaker.
MAX_CONSECUTIVE_FAULTS = 10
#: How long the server may be unreachable before the campaign is paused.
MAX_UNREACHABLE = timedelta(minutes=10)


#: What staff read where a campaign was paused automatically: a fault of ours, bounces or complaints.
_PAUSE_REASONS = {
    Fault.UNREACHABLE.value: N_("Paused: the mail server cannot be reached. Check its address, then resume."),
    Fault.TLS.value: N_(
        "Paused: the connection to the mail server cannot be encrypted, or its certificate is not valid."
    ),
    Fault.LOGIN.value: N_("Paused: the mail server does not accept our user name and password."),
    Fault.NO_LOGIN.value: N_(
        "Paused: a user name is set, and the mail server offers no login that we can use. Choose the port"
        " that is meant for sending, with encryption, or remove the user name where none is needed."
    ),
    Fault.REFUSED.value: N_("Paused: the mail server does not want to speak with us."),
    Fault.POLICY.value: N_(
        "Paused: the mail server refuses our mails because of the sender or the content (5.7.x)."
    ),
    Fault.EHLO.value: N_(
        "Paused: the mail server does not accept the name by which we greet it. Set MAIL_EHLO_NAME to this"
        " machine's name in DNS."
    ),
    Fault.SENDER.value: N_(
        "Paused: the mail server does not accept our sender's address. Check the address and its domain's"
        " records, then resume."
    ),
    Fault.RELAYING.value: N_(
        "Paused: the mail server does not pass our mails on. It has to know us by our login or our address."
    ),
    Fault.LIMIT.value: N_(
        "Paused: we have sent as many mails as the mail server allows for now. Resume when the limit is over."
    ),
    Fault.CONTENT.value: N_("Paused: the mail server does not accept the newsletter's size or form."),
    "complaints": N_(
        "Paused: too many recipients called it spam. Find out why before you resume:"
        " mailbox providers turn away who goes on."
    ),
    "bounces": N_(
        "Paused: too many mails came back. Find out where the addresses came from before you resume."
    ),
}


def pause_reason_text(campaign: Campaign) -> str | None:
    """Return why a campaign was paused automatically, to be translated; None where it was not."""
    if campaign.status is not CampaignStatus.PAUSED or campaign.pause_reason is None:
        return None
    return _PAUSE_REASONS[campaign.pause_reason]


class CircuitBreaker:
    """Counts the replies of one pass over a campaign, of all its connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._answers = self._faults = 0
        self._last: Reply | None = None
        #: True when the connections should send no more.
        self.is_open = False

    def record_reply(self, reply: Reply) -> None:
        """Record the reply to a mail, or to an attempt to connect."""
        with self._lock:
            if reply.fault is not None:
                self._last = reply
            if reply.code == 0:
                return
            self._answers += 1
            self._faults += reply.fault is not None
            self._in_a_row = self._in_a_row + 1 if reply.fault is not None else 0
            self.is_open |= self._in_a_row >= MAX_CONSECUTIVE_FAULTS

    def pause_cause(self, campaign_id: int, now: datetime) -> Reply | None:
        """Return the reply for which the campaign must pause, at the end of a pass; None otherwise."""
        away: dict[int, datetime] = current_app.extensions.setdefault("newsletter.away", {})
        is_common = self._faults >= MAX_CONSECUTIVE_FAULTS and 2 * self._faults >= self._answers
        if self._last is None or (self._answers > self._faults and not self.is_open and not is_common):
            away.pop(campaign_id, None)
            return None
        if self._last.fault is not Fault.UNREACHABLE or self._faults:
            return self._last
        if now - away.setdefault(campaign_id, now) < MAX_UNREACHABLE:
            return None
        del away[campaign_id]
        return self._last


def _give_back(campaign_id: int) -> None:
    """Put those who were refused because of us back in the queue: the try was not theirs."""
    ours = {rule.key for rule in RULES if rule.whose is Whose.US}
    execute_dml(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.status == DeliveryStatus.DEFERRED,
            Delivery.rule.in_(ours),
            Delivery.reply_code >= 500,  # noqa: PLR2004 - what is put off waits for its time
        )
        .values(status=DeliveryStatus.QUEUED, due_at=None, attempts=Delivery.attempts - 1)
    )


def pause_campaign(campaign_id: int, reply: Reply, now: datetime) -> None:
    """Pause a campaign for a fault of ours, in the caller's transaction."""
    reason = reply.fault.value if reply.fault else None
    paused = execute_dml(
        sa.update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENDING)
        .values(
            status=CampaignStatus.PAUSED,
            pause_reason=reason,
            pause_reply=redact_addresses(reply.text),
        )
    )
    if paused:
        _give_back(campaign_id)
        audit.record(
            "campaign paused", actor="breaker", now=now, object=f"campaign:{campaign_id}", reason=reason
        )
        log.error("campaign paused", extra={"campaign_id": campaign_id, "reason": reason})
