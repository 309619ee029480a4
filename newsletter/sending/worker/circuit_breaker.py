"""The breaker: when the fault is ours, the campaign pauses instead of failing person by person.

The server refuses our login, our certificate check fails, it takes nothing because of who we are
(5.7.x), or it has been out of reach for a while. Staff see the reason, mend it, and resume.
"""

import logging
import threading
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import current_app

from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import change
from newsletter.errors import N_
from newsletter.ledger import audit
from newsletter.mail.replies.models import Fault, Whose
from newsletter.mail.replies.rules import RULES
from newsletter.mail.smtp.transport import Reply
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.sending.worker.outcomes import without_addresses

log = logging.getLogger(__name__)

#: So many mails in a row not taken because of us, whoever they were to.
FAULTS = 10
#: How long the server may be out of reach before staff are asked to look.
AWAY = timedelta(minutes=10)


#: What staff read where a campaign was paused for a fault of ours, or for what came back.
_REASONS = {
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


def why_paused(campaign: Campaign) -> str | None:
    """Return why a campaign was paused by itself, to be translated; None where it was not."""
    if campaign.status is not CampaignStatus.PAUSED or campaign.pause_reason is None:
        return None
    return _REASONS[campaign.pause_reason]


class Breaker:
    """Hears every answer of one pass over a campaign, from all its connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._answers = self._faults = 0
        self._last: Reply | None = None
        #: True when the connections should send no more.
        self.is_tripped = False

    def note(self, reply: Reply) -> None:
        """Hear what was answered to a mail, or to an attempt to connect."""
        with self._lock:
            if reply.fault is not None:
                self._last = reply
            if reply.code == 0:
                return
            self._answers += 1
            self._faults += reply.fault is not None
            self._in_a_row = self._in_a_row + 1 if reply.fault is not None else 0
            self.is_tripped |= self._in_a_row >= FAULTS

    def verdict(self, campaign_id: int, now: datetime) -> Reply | None:
        """Return why the campaign must pause, at the end of a pass; None when it may go on."""
        away: dict[int, datetime] = current_app.extensions.setdefault("newsletter.away", {})
        is_common = self._faults >= FAULTS and 2 * self._faults >= self._answers
        if self._last is None or (self._answers > self._faults and not self.is_tripped and not is_common):
            away.pop(campaign_id, None)
            return None
        if self._last.fault is not Fault.UNREACHABLE or self._faults:
            return self._last
        if now - away.setdefault(campaign_id, now) < AWAY:
            return None
        del away[campaign_id]
        return self._last


def _give_back(campaign_id: int) -> None:
    """Put those who were refused because of us back in the queue: the try was not theirs."""
    ours = {rule.key for rule in RULES if rule.whose is Whose.US}
    change(
        sa.update(Delivery)
        .where(
            Delivery.campaign_id == campaign_id,
            Delivery.status == DeliveryStatus.DEFERRED,
            Delivery.rule.in_(ours),
            Delivery.reply_code >= 500,  # noqa: PLR2004 - what is put off waits for its time
        )
        .values(status=DeliveryStatus.QUEUED, due_at=None, attempts=Delivery.attempts - 1)
    )


def pause_for(campaign_id: int, reply: Reply, now: datetime) -> None:
    """Pause a campaign for a fault of ours, in the caller's transaction."""
    reason = reply.fault.value if reply.fault else None
    paused = change(
        sa.update(Campaign)
        .where(Campaign.id == campaign_id, Campaign.status == CampaignStatus.SENDING)
        .values(
            status=CampaignStatus.PAUSED,
            pause_reason=reason,
            pause_reply=without_addresses(reply.text),
        )
    )
    if paused:
        _give_back(campaign_id)
        audit.record(
            "campaign paused", actor="breaker", now=now, object=f"campaign:{campaign_id}", reason=reason
        )
        log.error("campaign paused", extra={"campaign_id": campaign_id, "reason": reason})
