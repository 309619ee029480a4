"""Prometheus metrics, read from the database at each scrape: every process gives the same answer.

Counts and ages only; no label contains a person, an address or a token.
"""

import platform
import shutil
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import Enum
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.durable import counters
from newsletter.ledger import audit
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.running import migrations
from newsletter.running.monitoring import job_status
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.staff.models import StaffSession
from newsletter.subscribers.signup import queue
from newsletter.tracking.hit_log import lost_hits, pending_bytes
from newsletter.web import request_log

#: What is on its way or needs somebody; the rest only grows.
_OPEN_MAILS = (MailStatus.QUEUED, MailStatus.SENDING, MailStatus.FAILED, MailStatus.UNCERTAIN)
_PENDING_DELIVERIES = (DeliveryStatus.QUEUED, DeliveryStatus.SENDING, DeliveryStatus.DEFERRED)
_HITS = ("open", "click")
#: The rate limits that there are, by the first word of their keys.
_LIMITS = (
    "address",
    "api",
    "code",
    "domain",
    "domain share",
    "login",
    "login-code",
    "openid",
    "passkey",
    "reset",
    "rights",
    "rights domain",
    "rights domain share",
    "rights mail",
    "signup",
    "token",
)
_TOTAL_COLUMNS = (
    "recipients",
    "accepted",
    "failed",
    "bounced",
    "complained",
    "skipped",
    "uncertain",
    "unsubscribed",
)


def render(now: datetime) -> bytes:
    """Return the figures in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_DatabaseCollector(now))
    return generate_latest(registry)


class _DatabaseCollector(Collector):
    """Prometheus collector that reads the database."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        yield from _mail_metrics(self._now)
        yield from _campaign_totals()
        yield from _counter_metrics()
        yield from job_status.collect(self._now)
        yield from _program(self._now)
        yield _gauge(
            "newsletter_staff_sessions",
            "Sessions of staff that have not been ended",
            db.session.scalar(sa.select(sa.func.count()).where(StaffSession.ended_at.is_(None))) or 0,
        )
        yield from _machine_metrics()


def _mail_metrics(now: datetime) -> Iterator[Metric]:
    """Yield what is on its way, and how long the oldest has been waiting."""
    yield _gauge_by_status(
        "newsletter_outbox_mails",
        "Single mails on their way or in need of a look",
        _OPEN_MAILS,
        sa.select(OutboxMail.status, sa.func.count())
        .where(OutboxMail.status.in_(_OPEN_MAILS))
        .group_by(OutboxMail.status),
    )
    oldest = db.session.scalar(
        sa.select(sa.func.min(OutboxMail.due_at)).where(
            OutboxMail.status == MailStatus.QUEUED, OutboxMail.due_at <= now
        )
    )
    yield _gauge(
        "newsletter_outbox_oldest_seconds",
        "How long the oldest mail that is due has been waiting",
        (now - oldest).total_seconds() if oldest else 0.0,
    )
    yield _gauge_by_status(
        "newsletter_deliveries",
        "Campaign mails on their way",
        _PENDING_DELIVERIES,
        sa.select(Delivery.status, sa.func.count())
        .where(Delivery.status.in_(_PENDING_DELIVERIES), Delivery.campaign_id.in_(_active_campaign_ids()))
        .group_by(Delivery.status),
    )
    yield _gauge_by_status(
        "newsletter_campaigns",
        "Campaigns by status",
        CampaignStatus,
        sa.select(Campaign.status, sa.func.count()).group_by(Campaign.status),
    )


def _machine_metrics() -> Iterator[Metric]:
    """Yield what the instance folder of the machine that answers holds."""
    yield _gauge(
        "newsletter_disk_free_bytes",
        "Room left where the instance folder is",
        shutil.disk_usage(current_settings().instance_path).free,
    )
    yield _gauge(
        "newsletter_signups_waiting",
        "Signups of this machine that have been answered and not stored yet",
        queue.count_queued(current_settings().instance_path),
    )
    yield _gauge(
        "newsletter_spool_bytes",
        "Opens and clicks of this machine not loaded yet",
        pending_bytes(current_settings().instance_path / "spool"),
    )
    yield CounterMetricFamily(
        "newsletter_hits_lost",
        "Opens and clicks of this machine that were answered and could not be written down",
        value=lost_hits(current_settings().instance_path),
    )


def _active_campaign_ids() -> sa.Select[int]:
    return sa.select(Campaign.id).where(Campaign.status.in_((CampaignStatus.SENDING, CampaignStatus.PAUSED)))


def _campaign_totals() -> Iterator[Metric]:
    sums = db.session.execute(
        sa.select(
            *[sa.func.coalesce(sa.func.sum(getattr(CampaignTotals, name)), 0) for name in _TOTAL_COLUMNS]
        )
    ).one()
    family = GaugeMetricFamily("newsletter_totals", "Of all campaigns together", labels=["what"])
    for name, value in zip(_TOTAL_COLUMNS, sums, strict=True):
        family.add_metric([name], float(value))
    yield family


def _counter_metrics() -> Iterator[Metric]:
    """Yield what only grows: the rate is what the one who asks makes of two answers."""
    stored = counters.read_totals()
    sent = sa.select(sa.func.coalesce(sa.func.sum(CampaignTotals.accepted), 0))
    mails = CounterMetricFamily("newsletter_mails_accepted", "Mails taken by a mail server", labels=["kind"])
    mails.add_metric(["campaign"], float(db.session.scalar(sent) or 0))
    mails.add_metric(["single"], float(stored.get("mails single", 0)))
    yield mails
    for name, what, label, prefix, known in (
        ("newsletter_hits_refused", "Opens and clicks with a token of nobody", "kind", "refused ", _HITS),
        (
            "newsletter_limits_reached",
            "Requests and mails that a rate limit held back",
            "limit",
            "limit ",
            _LIMITS,
        ),
    ):
        family = CounterMetricFamily(name, what, labels=[label])
        # What has not happened yet is 0: from nothing to one there is no rate, and no alert.
        counted = {**dict.fromkeys((prefix + each for each in known), 0), **stored}
        for key, number in sorted(counted.items()):
            if key.startswith(prefix):
                family.add_metric([key.removeprefix(prefix)], float(number))
        yield family
    yield from request_log.metrics(stored)


def _program(now: datetime) -> Iterator[Metric]:
    """Yield what runs here, and how old the newest backup is, once there is one."""
    build = {
        "version": version("newsletter"),
        "migration": migrations.head_revision(),
        "python": platform.python_version(),
        "database": db.engine.dialect.name,
    }
    info = GaugeMetricFamily("newsletter_build_info", "What runs here", labels=list(build))
    info.add_metric(list(build.values()), 1.0)
    yield info
    made_at = db.session.scalar(
        sa.select(audit.AuditEntry.at)
        .where(audit.AuditEntry.action == "backup made")
        .order_by(audit.AuditEntry.at.desc())
        .limit(1)
    )
    if made_at is not None:
        yield _gauge(
            "newsletter_backup_age_seconds",
            "Time since `newsletter backup` was last run",
            (now - made_at).total_seconds(),
        )


def _gauge_by_status(name: str, what: str, known: Iterable[Enum], counted: sa.Select[Any, int]) -> Metric:
    """Return one figure a status, 0 for those that nothing is in."""
    family = GaugeMetricFamily(name, what, labels=["status"])
    counts: dict[Any, int] = dict(db.session.execute(counted).all())
    for status in known:
        family.add_metric([status.value], float(counts.get(status, 0)))
    return family


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)
