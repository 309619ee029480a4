"""What a worker does. Every job looks up for itself what is due, so none minds being called twice.

``PERIODIC`` is the whole of what happens by itself: the worker, ``worker --until-idle``, the metrics and
the doctor go by it.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from flask import Flask

from newsletter import wakeups
from newsletter.api import idempotency, webhooks
from newsletter.bounces import reputation_guard
from newsletter.bounces.personal_data import delete_expired as forget_old_bounces
from newsletter.bounces.sources import mailbox
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.durable import counters, restore_journal
from newsletter.errors import N_, NewsletterError
from newsletter.ledger.audit import seal_log
from newsletter.mail import outbox
from newsletter.mail.deliverability import status
from newsletter.privacy.backup.database import ready_to_send
from newsletter.privacy.notice.versions import publish_first_version
from newsletter.privacy.retention.daily import DEADLINES, meet
from newsletter.privacy.retention.erasure import scrub_if_due
from newsletter.privacy.retention.purge import purge_if_due
from newsletter.ratelimit import limiter
from newsletter.running.jobs import Job, Scope, forget_gone, run
from newsletter.running.timer import MIN_DELAY, WakeupTimer
from newsletter.sending.lifecycle.release import start_due
from newsletter.sending.worker import deliver
from newsletter.staff.auth import sessions
from newsletter.stats.rollups import click_bursts, list_growth, segments
from newsletter.stats.rollups.funnel_months import close_months
from newsletter.stats.rollups.ingest import load_hits
from newsletter.subscribers.consent.evidence import seal_ledger
from newsletter.subscribers.one_time_links import delete_old_links
from newsletter.subscribers.search import index_new_subscribers
from newsletter.subscribers.signup import queue
from newsletter.subscribers.signup.confirm import delete_expired_signups
from newsletter.tracking.addresses import truncate_if_due

_delivery_lock = threading.Lock()
_delivery_requested = threading.Event()
#: Fires when a campaign's delivery is due again.
campaign_timer = WakeupTimer("campaigns")


class JobsFailed(NewsletterError):
    """Some periodic jobs failed; all others were done."""

    message = N_("Some work failed: %(jobs)s. The log says why, and all other work was done.")


def deliver_outbox() -> int:
    """Send the confirmation and other single mails that are due, and return how many were accepted."""
    if not ready_to_send(utcnow()):
        return 0
    accepted = outbox.deliver_due()
    if accepted:
        counters.increment("mails single", accepted)
        counters.flush()
    return accepted


def deliver_campaigns() -> int:
    """Send what is due of every campaign, and return how many mails were accepted.

    One at a time in a process, so that a long campaign never takes the thread that single mails
    wait for. Woken while at it, it looks once more before it ends.
    """
    _delivery_requested.set()
    if not _delivery_lock.acquire(blocking=False):
        return 0
    accepted = 0
    try:
        campaign_timer.schedule(MIN_DELAY)  # for what fails below, as without a database
        while _delivery_requested.is_set():
            _delivery_requested.clear()
            if ready_to_send(utcnow()):
                accepted += deliver.deliver_due()
        due_at = deliver.next_due(utcnow()) if ready_to_send(utcnow()) else None
        campaign_timer.schedule(None if due_at is None else (due_at - utcnow()).total_seconds())
    finally:
        _delivery_lock.release()
    return accepted


def deliver_webhooks() -> None:
    """Tell other programs what is due."""
    webhooks.deliver(utcnow())


def refresh_deliverability() -> None:
    """Ask how the world sees our mail, at somebody's wish."""
    if status.is_required(current_settings()):
        status.refresh(utcnow())


def sweep() -> None:
    """Do at once whatever is due by the table."""
    for job in PERIODIC:
        run(job)


def work_until_idle() -> int:
    """Do all the table has, due or not, and return how many mails were accepted.

    Raises JobsFailed when everything else has been done.
    """
    if not ready_to_send(utcnow()):
        return 0
    results = {job.name: run(job, is_forced=True) for job in PERIODIC}
    failed = [name for name, result in results.items() if result is not None and result.error]
    if failed:
        raise JobsFailed(jobs=", ".join(failed))
    sent = [results["outbox"], results["campaigns"]]
    return sum(result.value for result in sent if result is not None and isinstance(result.value, int))


def _now(function: Callable[[datetime], object]) -> Callable[[], object]:
    """Make a job of a function that wants to know the time."""
    return lambda: function(utcnow())


def _collect_and_tell() -> None:
    webhooks.enqueue_messages(utcnow())
    deliver_webhooks()


def _close_months() -> None:
    close_months(utcnow().astimezone(current_settings().timezone).date())


_HOUR = timedelta(hours=1)
_LONG = timedelta(hours=6)
_machine = partial(Job, scope=Scope.MACHINE)
_worker = partial(Job, scope=Scope.WORKER)
#: What may be long at work, and must not hold up the others.
_bulk = partial(Job, lane="bulk", budget=_LONG)
#: What waits for other machines.
_outside = partial(Job, lane="outside")

#: In the order in which ``worker --until-idle`` goes through it.
PERIODIC: tuple[Job, ...] = (
    # --- taking back what dead workers held
    _worker("wake-ups", wakeups.clear_pending),
    Job("outbox leases", _now(outbox.release_expired)),
    Job("campaign leases", deliver.recover_abandoned),
    # --- in
    _machine("signups", queue.load_queued, lane="loading", budget=_LONG),
    _machine("hits", load_hits, lane="loading", budget=_LONG),
    _outside("bounce mailbox", _now(mailbox.fetch)),
    # --- out
    Job("reputation guard", _now(reputation_guard.pause_if_needed)),
    _outside("deliverability", _now(status.refresh_if_due)),
    Job("scheduled campaigns", _now(start_due)),
    _worker("outbox", deliver_outbox, lane="outbox", budget=_HOUR),
    _worker("campaigns", deliver_campaigns, lane="campaigns", budget=None),
    # --- what has come to its end
    Job("signup requests", _now(delete_expired_signups)),
    Job("one-time links", _now(delete_old_links)),
    _machine("rate limits", limiter.delete_expired),
    Job("staff sessions", _now(sessions.delete_old_sessions), every=_HOUR),
    Job("repeated API requests", _now(idempotency.delete_expired), every=_HOUR),
    Job("bounce messages", _now(forget_old_bounces), every=_HOUR),
    _machine("restore journal", _now(restore_journal.delete_expired), every=_HOUR),
    Job("old machines", _now(forget_gone), every=_HOUR),
    Job("first privacy notice", _now(publish_first_version)),
    *(Job(f"daily {name}", _now(partial(meet, name))) for name in DEADLINES),
    # --- seals and indexes
    _bulk("consent seals", seal_ledger),
    _bulk("audit seals", seal_log),
    _bulk("address search", index_new_subscribers),
    # --- figures
    _bulk("campaign groups", _now(segments.count_due_segments)),
    _bulk("list days", _now(list_growth.count_list_days)),
    _bulk("funnel months", _close_months),
    Job("recent clicks", _now(click_bursts.delete_old_clicks)),
    # --- after seals, which it tells of
    _outside("webhooks", _collect_and_tell),
    # --- retention
    _bulk("old addresses", _now(truncate_if_due)),
    _bulk("purge", _now(purge_if_due)),
    _bulk("scrub", scrub_if_due),
)

#: What each wake-up does.
WAKEUPS: dict[str, Callable[[], object]] = {
    "outbox": deliver_outbox,
    "campaigns": deliver_campaigns,
    "webhooks": deliver_webhooks,
    "signups": queue.load_queued,
    "standing": refresh_deliverability,
    "sweep": sweep,
}


def init_app(app: Flask) -> None:
    """Say what each wake-up does."""
    wakeups.register(app, WAKEUPS)
