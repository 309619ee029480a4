"""The transactional outbox of single mails: a row in the caller's transaction, sent later by a worker.

The worker claims one mail under a lease (status ``sending``) and commits, sends it, and records the
reply. A mail found ``sending`` with an expired lease becomes ``uncertain`` and is never sent again.
"""

import logging
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from blinker import Namespace

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import bind_list, db, in_list, is_sqlite, table_of
from newsletter.db.leases import LEASE_DURATION, dead_owners, owner
from newsletter.mail.backends import open_transport
from newsletter.mail.dkim import dkim_signer
from newsletter.mail.message import compose, make_message_id
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.mail.replies.models import Whose
from newsletter.mail.replies.rules import RULES, VERSION
from newsletter.mail.return_path import OUTBOX_CAMPAIGN, return_paths
from newsletter.mail.smtp.transport import Reply, Transport
from newsletter.wakeups import wake_after_commit

log = logging.getLogger(__name__)

#: Delays between tries; after the last one the mail has failed. Four days in all (RFC 5321, 4.5.4.1).
RETRY_DELAYS = tuple(
    timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 360, 720, 1440, 1440, 1440)
)


#: A mail refused because of us is offered again so soon, and for so long, at no cost of its tries.
HELD_GAP, HELD_FOR = timedelta(minutes=1), timedelta(days=14)
#: So many in a row, and the others need not be asked.
_FAULTS = 3

#: Sent with ``mail``, ``reply`` and ``now`` in the transaction that records that a mail was refused for good.
refused = Namespace().signal("refused")
#: In a mail's context: the message itself, to be dated and signed when it is handed over.
UNSIGNED = "unsigned"
#: Signal with ``mail`` and ``now``, sent in the transaction that records the reply.
mail_accepted = Namespace().signal("accepted")


_OURS = {rule.key for rule in RULES if rule.whose is Whose.US}
_REFUSED = 500
_OUTBOX = table_of(OutboxMail)
_INSERT = sa.insert(_OUTBOX)


def enqueue(
    template: str,
    *,
    to: str,
    language: str,
    now: datetime,
    subscriber_id: int | None = None,
    context: dict[str, Any],
    due_at: datetime | None = None,
) -> OutboxMail:
    """Put a mail in the outbox, in the caller's transaction; instants in ``context`` as ISO text."""
    mail = OutboxMail(
        **mail_row(
            template,
            to=to,
            language=language,
            now=now,
            subscriber_id=subscriber_id,
            context=context,
            due_at=due_at,
        )
    )
    db.session.add(mail)
    wake_after_commit("outbox")
    return mail


def mail_row(
    template: str,
    *,
    to: str,
    language: str,
    now: datetime,
    subscriber_id: int | None,
    context: dict[str, Any],
    due_at: datetime | None = None,
) -> dict[str, Any]:
    """Return the columns of a mail to be sent at ``due_at`` or now, for ``enqueue_many``."""
    return {
        "subscriber_id": subscriber_id,
        "template": template,
        "language": language,
        "address": to,
        "context": context,
        "message_id": make_message_id(current_settings()),
        "created_at": now,
        "due_at": due_at or now,
    }


def enqueue_many(mails: Sequence[dict[str, Any]]) -> None:
    """Insert many mails in one statement, in the caller's transaction."""
    if mails:
        db.session.connection().execute(_INSERT, mails)
        wake_after_commit("outbox")


def last_enqueued(template: str, subscriber_ids: Sequence[int]) -> dict[int, datetime]:
    """Return when a mail of a kind was last put in the outbox, for each person who was ever sent one."""
    written = _last_enqueued(for_sqlite=is_sqlite())
    sought = {"template": template, "subscriber_ids": bind_list(subscriber_ids)}
    return {row[0]: row[1] for row in db.session.connection().execute(written, sought)}


@cache
def _last_enqueued(*, for_sqlite: bool) -> sa.Select[int, datetime]:
    newest = sa.func.max(_OUTBOX.c.created_at, type_=_OUTBOX.c.created_at.type)
    return (
        sa.select(_OUTBOX.c.subscriber_id, newest)
        .where(
            in_list(_OUTBOX.c.subscriber_id, "subscriber_ids", for_sqlite=for_sqlite),
            _OUTBOX.c.template == sa.bindparam("template"),
        )
        .group_by(_OUTBOX.c.subscriber_id)
    )


def deliver_due(now: datetime | None = None) -> int:
    """Send every mail that is due and return how many were accepted. Commits after each."""
    accepted = faults = 0
    with open_transport() as transport:
        while (mail := _claim(now or utcnow())) is not None:
            reply = _compose_and_send(mail, transport, now or utcnow())
            _record(mail, reply, now or utcnow())
            accepted += reply.is_accepted
            faults = faults + 1 if _is_held(reply) else 0
            if faults == _FAULTS:
                break  # it is about us: the others wait until somebody has mended it
            if reply.code == 0 and not reply.is_uncertain:
                break  # the server is away: the others would only lose a try each
    return accepted


def release_expired(now: datetime) -> None:
    """Make mails that a dead process was sending ``uncertain``. Commits."""
    abandoned = sa.or_(OutboxMail.leased_until < now, OutboxMail.leased_by.in_(dead_owners(_lease_owners())))
    result = db.session.execute(
        sa.update(OutboxMail)
        .where(OutboxMail.status == MailStatus.SENDING, abandoned)
        .values(
            status=MailStatus.UNCERTAIN,
            leased_by=None,
            leased_until=None,
            address=None,
            context=None,
        )
        .returning(OutboxMail.id)
    )
    for mail_id in result.scalars().all():
        log.warning("mail uncertain", extra={"mail_id": mail_id})
    db.session.commit()


def _lease_owners() -> Sequence[str]:
    held = sa.select(OutboxMail.leased_by).where(OutboxMail.leased_by.is_not(None)).distinct()
    return [name for name in db.session.scalars(held) if name]


def _claim(now: datetime) -> OutboxMail | None:
    due = (
        sa.select(OutboxMail.id)
        .where(OutboxMail.status == MailStatus.QUEUED, OutboxMail.due_at <= now)
        # Those refused because of us come last, so that one of them never keeps the others waiting.
        .order_by(OutboxMail.rule.is_not(None), OutboxMail.due_at, OutboxMail.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    mail = db.session.scalar(
        sa.update(OutboxMail)
        .where(OutboxMail.id == due.scalar_subquery(), OutboxMail.status == MailStatus.QUEUED)
        .values(
            status=MailStatus.SENDING,
            attempts=OutboxMail.attempts + 1,
            leased_by=owner(),
            leased_until=now + LEASE_DURATION,
        )
        .returning(OutboxMail)
        .execution_options(populate_existing=True)
    )
    db.session.commit()
    return mail


def _compose_and_send(mail: OutboxMail, transport: Transport, now: datetime) -> Reply:
    if mail.address is None:
        return Reply(550, "no address")  # erased between the claim and now
    try:
        message = _compose_message(mail, mail.address, now)
    except Exception:
        # A mistake of ours in one template must not hold up the mails behind it.
        log.exception("mail not written", extra={"mail_id": mail.id, "template": mail.template})
        return Reply(554, "not written")
    return transport.send(return_paths().of(OUTBOX_CAMPAIGN, mail.id), mail.address, message)


def _compose_message(mail: OutboxMail, address: str, now: datetime) -> bytes:
    if mail.context and "raw" in mail.context:
        return str(mail.context["raw"]).encode("ascii")  # a test mail, as an earlier version kept it
    signer = dkim_signer(current_settings())
    if mail.context and UNSIGNED in mail.context:  # compiled as newsletters are
        message = _dated(str(mail.context[UNSIGNED]).encode("ascii"), now)
        return signer.sign(message, now=now) if signer else message
    context = {
        key: datetime.fromisoformat(value) if key.endswith("_at") else value
        for key, value in (mail.context or {}).items()
    }
    written = compose(
        mail.template,
        context,
        to=address,
        tongue=mail.language,
        message_id=mail.message_id,
        now=now,
    ).as_bytes()
    return signer.sign(written, now=now) if signer else written


def _dated(message: bytes, now: datetime) -> bytes:
    """Let a message say when it is handed over, and not when it was written."""
    head, blank, body = message.partition(b"\r\n\r\n")
    date = b"\r\nDate: " + format_datetime(now).encode("ascii") + b"\r\n"
    return re.sub(rb"\r\nDate:[^\r\n]*\r\n", date, head + b"\r\n", count=1)[:-2] + blank + body


def held() -> tuple[int, str | None]:
    """Return how many mails wait because the server refuses us, and by which row of the table."""
    is_held = sa.and_(OutboxMail.status == MailStatus.QUEUED, OutboxMail.rule.in_(_OURS))
    those = sa.select(sa.func.count(), sa.func.max(OutboxMail.rule)).where(
        is_held, OutboxMail.reply_code >= _REFUSED
    )
    number, rule = db.session.execute(those).one()
    return number, rule


def _is_held(reply: Reply) -> bool:
    return reply.fault is not None and reply.code >= _REFUSED


def _record(mail: OutboxMail, reply: Reply, now: datetime) -> None:
    mail.leased_by = mail.leased_until = None
    mail.reply_code = reply.code or None
    mail.rule, mail.rules = reply.rule, VERSION if reply.rule else None
    if reply.is_accepted:
        mail.status, mail.accepted_at = MailStatus.ACCEPTED, now
        mail_accepted.send(mail=mail, now=now)
    elif reply.is_uncertain:
        mail.status = MailStatus.UNCERTAIN
    elif _is_held(reply) and now - mail.created_at < HELD_FOR:
        mail.status, mail.due_at, mail.attempts = MailStatus.QUEUED, now + HELD_GAP, mail.attempts - 1
    elif reply.is_retryable and mail.attempts <= len(RETRY_DELAYS):
        mail.status, mail.due_at = MailStatus.QUEUED, now + RETRY_DELAYS[mail.attempts - 1]
    else:
        mail.status = MailStatus.FAILED
        refused.send(mail=mail, reply=reply, now=now)
    if mail.status is not MailStatus.QUEUED:
        mail.address = mail.context = None  # the links in it are nobody's business any more
    log.info(
        "mail handed over",
        extra={"mail_id": mail.id, "status": mail.status.value, "code": reply.code},
    )
    db.session.commit()
