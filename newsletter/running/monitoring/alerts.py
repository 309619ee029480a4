"""Alerts for staff: for each role what it can do something about, the gravest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import url_for
from flask_babel import gettext as _

from newsletter.bounces.queries import count_rejections_of_us
from newsletter.bounces.reputation_guard import find_limit_findings
from newsletter.campaigns.drafts import goes_only_to
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail import outbox
from newsletter.mail.replies.rules import REASONS
from newsletter.privacy.retention.daily import count_overdue
from newsletter.running.doctor.settings import check_settings
from newsletter.running.monitoring import job_status
from newsletter.running.monitoring.health import is_mail_waiting
from newsletter.sending.lifecycle.preflight import check_deliverability
from newsletter.staff.auth.two_factor import REQUIRED_ROLES
from newsletter.staff.models import Role, Staff
from newsletter.stats.reports import overview
from newsletter.stats.reports.overview import AlertKind, FigureAlert, ListGrowth
from newsletter.subscribers.signup import mail_quota
from newsletter.subscribers.undelivered import count_undelivered
from newsletter.web.i18n import format_number, translate

_SENDER_ROLES = {Role.SENDER, Role.ADMIN}
_WRITER_ROLES = {Role.EDITOR, Role.SENDER, Role.ADMIN}
_MAIL_ROLES = {Role.SENDER, Role.PRIVACY, Role.ADMIN}
_PRIVACY_ROLES = {Role.PRIVACY, Role.ADMIN}
#: Who can do something about what the figures show.
_ROLES_BY_KIND = {
    AlertKind.UNCERTAIN: _SENDER_ROLES,
    AlertKind.FAILED: _SENDER_ROLES,
    AlertKind.PAUSED: _SENDER_ROLES,
    AlertKind.COMPLAINTS: _WRITER_ROLES,
    AlertKind.SHRINKING: _WRITER_ROLES,
    AlertKind.HITS_LOST: {Role.ADMIN},
}
#: Whoever sees none of these can mend nothing, and is shown no empty list of it.
ALERTED_ROLES = _WRITER_ROLES | _PRIVACY_ROLES
#: A verdict on the chains older than this says nothing about today.
_VERIFICATION_MAX_AGE = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: what it is about, the text, and the page where it can be dealt with."""

    text: str
    url: str | None = None
    #: A name that leads there and stands before the words; without one the words lead there.
    about: str = ""


def list_alerts(
    role: Role, lists: Sequence[str] | None, growths: Sequence[ListGrowth], *, days: int, now: datetime
) -> list[Alert]:
    """Return the alerts for a role; ``lists`` limits them to these slugs, None does not."""
    found = overview.find_figure_alerts(now, growths, lists)
    return [
        *(_figure_alert(item, days) for item in found if role in _ROLES_BY_KIND[item.kind]),
        *_campaign_alerts(role, lists, now),
        *_mail_alerts(role, lists, now),
        *_privacy_alerts(role, now),
        *_admin_alerts(role, now),
    ]


def _figure_alert(item: FigureAlert, days: int) -> Alert:
    number, base = format_number(item.number), format_number(item.base)
    words = {
        AlertKind.UNCERTAIN: _(
            "Whether these arrived is uncertain: %(number)s of %(base)s."
            " They are never sent again by themselves.",
            number=number,
            base=base,
        ),
        AlertKind.FAILED: _("Failed: %(number)s of %(base)s recipients.", number=number, base=base),
        AlertKind.COMPLAINTS: _(
            "Called spam by: %(number)s of %(base)s whose mail was accepted.", number=number, base=base
        ),
        AlertKind.PAUSED: _("Sending is paused."),
        AlertKind.SHRINKING: _(
            "More have left than joined: %(number)s in %(days)s days.", number=number, days=days
        ),
        AlertKind.HITS_LOST: _(
            "Opens and clicks that could not be written down, because the disk was full: %(number)s.",
            number=number,
        ),
    }[item.kind]
    if item.campaign is not None:
        return Alert(words, _alert_url(item), item.campaign.subject)
    if item.mailing_list is not None:
        url = url_for("overview.mailing_list", slug=item.mailing_list.slug)
        return Alert(words, url, item.mailing_list.name)
    return Alert(words)


def _alert_url(item: FigureAlert) -> str:
    number = item.campaign.id if item.campaign else 0
    if item.kind in {AlertKind.UNCERTAIN, AlertKind.FAILED}:
        return url_for("sending_staff.undelivered", campaign_id=number)
    if item.kind is AlertKind.PAUSED:
        return url_for("start.page", campaign_id=number)
    return url_for("stats.campaign", campaign_id=number)


def _campaign_alerts(role: Role, lists: Sequence[str] | None, now: datetime) -> Iterator[Alert]:
    if role not in _SENDER_ROLES:
        return
    held = sa.and_(Campaign.status == CampaignStatus.SCHEDULED, Campaign.held_reason.is_not(None))
    asked = sa.and_(Campaign.status == CampaignStatus.DRAFT, Campaign.proposed_by.is_not(None))
    waiting = sa.select(Campaign).where(sa.or_(held, asked)).order_by(Campaign.id)
    if lists is not None:
        waiting = waiting.where(goes_only_to(lists))
    for campaign in db.session.scalars(waiting).unique():
        if campaign.held_reason is not None:
            words = _("Its time has come, and it waits for somebody to decide.")
        else:
            words = _("Waits for another person to agree to its sending.")
        yield Alert(words, url_for("start.page", campaign_id=campaign.id), campaign.subject)
    near = sa.select(Campaign).where(
        Campaign.id.in_({danger.campaign_id for danger in find_limit_findings(now)})
    )
    if lists is not None:
        near = near.where(goes_only_to(lists))
    for campaign in db.session.scalars(near.order_by(Campaign.id)).unique():
        words = _("Many bounces or spam complaints.")
        yield Alert(words, url_for("stats.campaign", campaign_id=campaign.id), campaign.subject)


def _mail_alerts(role: Role, lists: Sequence[str] | None, now: datetime) -> Iterator[Alert]:
    if role not in _MAIL_ROLES or lists is not None:  # single mails belong to people, not to lists
        return
    if stuck := sum(row[-1] for row in count_undelivered(now)):
        words = _("Single mails that did not arrive: %(count)s", count=stuck)
        yield Alert(words, url_for("subscribers_staff.mails"))
    if mail_quota.has_reached_limit(now):
        words = _(
            "So many asked for mail at one mail provider within a day that its hourly limit was reached."
            " Confirmation mails that wait for their turn: %(count)s",
            count=mail_quota.count_waiting(now),
        )
        yield Alert(words)
    waiting, rule = outbox.held()
    if role in _SENDER_ROLES and waiting:
        words = _(
            "Single mails wait, because the mail server refuses us: %(count)s. %(why)s",
            count=waiting,
            why=translate(REASONS.get(rule or "", "")),
        )
        yield Alert(words)
    if role in _SENDER_ROLES and is_mail_waiting(now):
        yield Alert(_("Mails wait, and no worker takes them. Check that a worker is running."))
    if role in _SENDER_ROLES and (refused := count_rejections_of_us(now)):
        words = _("Mails that were turned away because of us this week: %(count)s", count=refused)
        yield Alert(words, url_for("bounce_pages.page"))
    wrong = sum(finding.is_error for finding in check_deliverability(now)) if role in _SENDER_ROLES else 0
    if wrong:
        words = _(
            "What keeps mails from arriving: %(count)s. The command newsletter doctor names it.", count=wrong
        )
        yield Alert(words)


def _privacy_alerts(role: Role, now: datetime) -> Iterator[Alert]:
    if role not in _PRIVACY_ROLES:
        return
    found, office = count_overdue(now), url_for("privacy_desk.office")
    if number := found["overdue"]:
        yield Alert(_("Requests that are overdue: %(number)s", number=number), office)
    if number := found["due_soon"]:
        yield Alert(_("Requests that are due within a week: %(number)s", number=number), office)
    if found["purge_missing"]:
        words = _("The January purge has not been done, and today is its last day.")
        yield Alert(words, url_for("privacy_office.purge"))
    if number := found["breaches_unreported"]:
        words = _("Breaches whose 72 hours are running out: %(number)s", number=number)
        yield Alert(words, url_for("privacy_office.show_incidents"))
    if current_settings().loses_alerts:
        yield Alert(_("Alerts about data protection go to nobody. Set PRIVACY_ALERTS to e-mail addresses."))
    if _is_chain_broken(now):
        words = _("When the chains were last checked, something was not as it was sealed.")
        yield Alert(words, url_for("privacy_audit.page"))


def _is_chain_broken(now: datetime) -> bool:
    last = (
        sa.select(AuditEntry.details)
        .where(AuditEntry.at > now - _VERIFICATION_MAX_AGE, AuditEntry.action == "chains verified")
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(1)
    )
    details = db.session.scalar(last)
    return bool(details and details.get("faults"))


def _admin_alerts(role: Role, now: datetime) -> Iterator[Alert]:
    if role is not Role.ADMIN:
        return
    lacking = sa.select(sa.func.count()).where(
        Staff.active, Staff.role.in_(REQUIRED_ROLES), Staff.totp_secret.is_(None), Staff.passkey_count == 0
    )
    if count := db.session.scalar(lacking):
        words = _("Accounts without the second step they need: %(count)s", count=count)
        yield Alert(words, url_for("staff_admin.accounts"))
    if failing := job_status.failing(now):
        names = ", ".join(dict.fromkeys(job.name for job, _run in failing))
        yield Alert(
            _("Background work that fails: %(jobs)s. The command newsletter doctor says why.", jobs=names)
        )
    if count := len(check_settings()):
        yield Alert(
            _("Settings to look at: %(count)s. The command newsletter doctor names them.", count=count)
        )
