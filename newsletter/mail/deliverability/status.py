"""The deliverability status (SB-8): checked by a job, stored with its time, shown on pages."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from newsletter.config import Settings, current_settings
from newsletter.db import db
from newsletter.db.leases import try_job_lock
from newsletter.mail.deliverability.checks import CHECKS, CheckResult, run_checks
from newsletter.mail.deliverability.dns import DnsResolver
from newsletter.mail.message import sender_domain
from newsletter.mail.models import DeliverabilityResult, Grade
from newsletter.mail.smtp.probe import probe_server

#: Checks are repeated after so long: sooner while one fails, as somebody is mending it.
PASSED_MAX_AGE, FAILED_MAX_AGE = timedelta(hours=6), timedelta(minutes=10)
#: Older results are not relied on; no worker has been running.
STALE_AFTER = timedelta(days=3)
#: Between two runs, however often staff ask.
MIN_INTERVAL = timedelta(seconds=20)
#: Names that nobody in the world has (RFC 2606, 6761, 6762): mail from them is for trying out.
_RESERVED_DOMAIN = re.compile(
    r"(?:.*\.)?(?:example|test|invalid|localhost|local|internal|example\.(?:com|net|org))"
)


def is_required(chosen: Settings) -> bool:
    """Tell whether a campaign requires passing checks: not while trying out, unless PREFLIGHT=always."""
    if chosen.preflight == "always":
        return True
    is_rehearsal = chosen.uses_mailbox or chosen.is_local
    return not (is_rehearsal or _RESERVED_DOMAIN.fullmatch(sender_domain(chosen).lower()))


def refresh(now: datetime) -> Sequence[DeliverabilityResult]:
    """Run all checks and store the results. Commits. Takes some seconds where servers do not answer."""
    with try_job_lock("standing") as mine:  # a run at the same time would write the same
        last = db.session.scalar(sa.select(sa.func.min(DeliverabilityResult.checked_at)))
        db.session.rollback()  # no transaction while we wait for others
        if mine and (last is None or not now - MIN_INTERVAL < last <= now):
            _store_results(
                run_checks(
                    current_settings(),
                    DnsResolver(current_settings()),
                    probe_server() if current_settings().mail_server else None,
                ),
                now,
            )
    return latest_results()


def _store_results(found: Sequence[CheckResult], now: datetime) -> None:
    db.session.execute(sa.delete(DeliverabilityResult))
    for one in found:
        row = DeliverabilityResult(
            code=one.code, grade=one.grade, word=one.word, details=one.values, checked_at=now
        )
        db.session.add(row)
    db.session.commit()


def refresh_if_due(now: datetime) -> None:
    """Call ``refresh`` where checks are required and due. Commits; may take some seconds."""
    if is_required(current_settings()) and is_due(now):
        refresh(now)


def latest_results() -> Sequence[DeliverabilityResult]:
    """Return the last results in the order of ``CHECKS``; none before the first run."""
    rows = db.session.scalars(sa.select(DeliverabilityResult)).all()
    return sorted(rows, key=lambda row: list(CHECKS).index(row.code))


def is_due(now: datetime) -> bool:
    """Tell whether the checks are due again."""
    rows = latest_results()
    wrong = any(row.grade is Grade.FAILED for row in rows)
    return not rows or now - rows[0].checked_at > (FAILED_MAX_AGE if wrong else PASSED_MAX_AGE)
