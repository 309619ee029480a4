"""What needs somebody's attention: for each level what it can do something about, the gravest first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from flask import url_for
from flask_babel import gettext as _

from newsletter.bounces.queries import turned_away
from newsletter.bounces.reputation_guard import dangers
from newsletter.campaigns.drafts import within
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.privacy.retention.daily import late
from newsletter.running import job_status
from newsletter.running.doctor.settings import findings
from newsletter.running.health import is_mail_waiting
from newsletter.sending.lifecycle.preflight import check_standing
from newsletter.staff.auth.two_factor import REQUIRED_OF
from newsletter.staff.models import Role, Staff
from newsletter.stats.reports import overview
from newsletter.stats.reports.overview import Attention, Concern, Growth
from newsletter.subscribers.undelivered import count_undelivered
from newsletter.web.i18n import format_number

_SENDING = {Role.SENDER, Role.ADMIN}
_WRITING = {Role.EDITOR, Role.SENDER, Role.ADMIN}
_MAILS = {Role.SENDER, Role.PRIVACY, Role.ADMIN}
_PRIVACY = {Role.PRIVACY, Role.ADMIN}
#: Who can do something about what the figures show.
_MENDERS = {
    Concern.UNCERTAIN: _SENDING,
    Concern.FAILED: _SENDING,
    Concern.PAUSED: _SENDING,
    Concern.COMPLAINTS: _WRITING,
    Concern.SHRINKING: _WRITING,
    Concern.HITS_LOST: {Role.ADMIN},
}
#: Whoever sees none of these can mend nothing, and is shown no empty list of it.
MENDERS = _WRITING | _PRIVACY
#: A verdict on the chains older than this says nothing about today.
_VERDICT_LASTS = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing to look at: what it is about, the words, and where to mend it."""

    text: str
    url: str | None = None
    #: A name that leads there and stands before the words; without one the words lead there.
    about: str = ""


def matters(
    role: Role, lists: Sequence[str] | None, growths: Sequence[Growth], *, days: int, now: datetime
) -> list[Matter]:
    """Return what somebody of a level, limited to lists or with None to none, can mend."""
    found = overview.attention(now, growths, lists)
    return [
        *(_of_figures(item, days) for item in found if role in _MENDERS[item.concern]),
        *_of_campaigns(role, lists, now),
        *_of_mails(role, lists, now),
        *_of_privacy(role, now),
        *_of_administration(role, now),
    ]


def _of_figures(item: Attention, days: int) -> Matter:
    number, base = format_number(item.number), format_number(item.base)
    words = {
        Concern.UNCERTAIN: _(
            "Whether these arrived is uncertain: %(number)s of %(base)s."
            " They are never sent again by themselves.",
            number=number,
            base=base,
        ),
        Concern.FAILED: _("Failed: %(number)s of %(base)s recipients.", number=number, base=base),
        Concern.COMPLAINTS: _(
            "Called spam by: %(number)s of %(base)s whose mail was accepted.", number=number, base=base
        ),
        Concern.PAUSED: _("Sending is paused."),
        Concern.SHRINKING: _(
            "More have left than joined: %(number)s in %(days)s days.", number=number, days=days
        ),
        Concern.HITS_LOST: _(
            "Opens and clicks that could not be written down, because the disk was full: %(number)s.",
            number=number,
        ),
    }[item.concern]
    if item.campaign is not None:
        return Matter(words, _where_to_mend(item), item.campaign.subject)
    if item.mailing_list is not None:
        url = url_for("overview.mailing_list", slug=item.mailing_list.slug)
        return Matter(words, url, item.mailing_list.name)
    return Matter(words)


def _where_to_mend(item: Attention) -> str:
    number = item.campaign.id if item.campaign else 0
    if item.concern in {Concern.UNCERTAIN, Concern.FAILED}:
        return url_for("sending_staff.undelivered", campaign_id=number)
    if item.concern is Concern.PAUSED:
        return url_for("start.page", campaign_id=number)
    return url_for("stats.campaign", campaign_id=number)


def _of_campaigns(role: Role, lists: Sequence[str] | None, now: datetime) -> Iterator[Matter]:
    if role not in _SENDING:
        return
    held = sa.and_(Campaign.status == CampaignStatus.SCHEDULED, Campaign.held_reason.is_not(None))
    asked = sa.and_(Campaign.status == CampaignStatus.DRAFT, Campaign.proposed_by.is_not(None))
    waiting = sa.select(Campaign).where(sa.or_(held, asked)).order_by(Campaign.id)
    if lists is not None:
        waiting = waiting.where(within(lists))
    for campaign in db.session.scalars(waiting).unique():
        if campaign.held_reason is not None:
            words = _("Its time has come, and it waits for somebody to decide.")
        else:
            words = _("Waits for another person to agree to its sending.")
        yield Matter(words, url_for("start.page", campaign_id=campaign.id), campaign.subject)
    near = sa.select(Campaign).where(Campaign.id.in_({danger.campaign_id for danger in dangers(now)}))
    if lists is not None:
        near = near.where(within(lists))
    for campaign in db.session.scalars(near.order_by(Campaign.id)).unique():
        words = _("Many bounces or spam complaints.")
        yield Matter(words, url_for("stats.campaign", campaign_id=campaign.id), campaign.subject)


def _of_mails(role: Role, lists: Sequence[str] | None, now: datetime) -> Iterator[Matter]:
    if role not in _MAILS or lists is not None:  # single mails belong to people, not to lists
        return
    if stuck := sum(row[-1] for row in count_undelivered(now)):
        words = _("Single mails that did not arrive: %(count)s", count=stuck)
        yield Matter(words, url_for("subscribers_staff.mails"))
    if role in _SENDING and is_mail_waiting(now):
        yield Matter(_("Mails wait, and no worker takes them. Check that a worker is running."))
    if role in _SENDING and (refused := turned_away(now)):
        words = _("Mails that were turned away because of us this week: %(count)s", count=refused)
        yield Matter(words, url_for("bounce_pages.page"))
    wrong = sum(finding.is_error for finding in check_standing(now)) if role in _SENDING else 0
    if wrong:
        words = _(
            "What keeps mails from arriving: %(count)s. The command newsletter doctor names it.", count=wrong
        )
        yield Matter(words)


def _of_privacy(role: Role, now: datetime) -> Iterator[Matter]:
    if role not in _PRIVACY:
        return
    found, office = late(now), url_for("privacy_desk.office")
    if number := found["overdue"]:
        yield Matter(_("Requests that are overdue: %(number)s", number=number), office)
    if number := found["due_soon"]:
        yield Matter(_("Requests that are due within a week: %(number)s", number=number), office)
    if found["purge_missing"]:
        words = _("The January purge has not been done, and today is its last day.")
        yield Matter(words, url_for("privacy_office.purge"))
    if number := found["breaches_unreported"]:
        words = _("Breaches whose 72 hours are running out: %(number)s", number=number)
        yield Matter(words, url_for("privacy_office.show_incidents"))
    if _is_chain_broken(now):
        words = _("When the chains were last checked, something was not as it was sealed.")
        yield Matter(words, url_for("privacy_audit.page"))


def _is_chain_broken(now: datetime) -> bool:
    last = (
        sa.select(AuditEntry.details)
        .where(AuditEntry.at > now - _VERDICT_LASTS, AuditEntry.action == "chains verified")
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(1)
    )
    details = db.session.scalar(last)
    return bool(details and details.get("faults"))


def _of_administration(role: Role, now: datetime) -> Iterator[Matter]:
    if role is not Role.ADMIN:
        return
    lacking = sa.select(sa.func.count()).where(
        Staff.active, Staff.role.in_(REQUIRED_OF), Staff.totp_secret.is_(None), Staff.passkey_count == 0
    )
    if count := db.session.scalar(lacking):
        words = _("Accounts without the second step they need: %(count)s", count=count)
        yield Matter(words, url_for("staff_admin.accounts"))
    if failing := job_status.failing(now):
        names = ", ".join(dict.fromkeys(job.name for job, _run in failing))
        yield Matter(
            _("Background work that fails: %(jobs)s. The command newsletter doctor says why.", jobs=names)
        )
    if count := len(findings()):
        yield Matter(
            _("Settings to look at: %(count)s. The command newsletter doctor names them.", count=count)
        )
