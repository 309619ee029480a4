"""What needs somebody's attention, for each level what it can do something about."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from flask import Blueprint, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_security import current_user

from newsletter.bounces.breaker import dangers
from newsletter.bounces.queries import turned_away
from newsletter.campaigns.models import Campaign, CampaignStatus, CampaignTotals
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.privacy.models import PurgeRun
from newsletter.running.doctor import findings
from newsletter.running.health import warnings
from newsletter.staff.access import staff_only
from newsletter.staff.models import Role, Staff
from newsletter.staff.second_step import REQUIRED_OF
from newsletter.subscribers.undelivered import count_undelivered

bp = Blueprint("attention", __name__, url_prefix="/staff")

_SENDING = {Role.SENDER, Role.ADMIN}
_MAILS = {Role.SENDER, Role.PRIVACY, Role.ADMIN}


@dataclass(frozen=True, slots=True)
class Matter:
    """One thing to look at, and where."""

    text: str
    url: str | None = None


@bp.get("/attention")
@staff_only
def page() -> ResponseReturnValue:
    now, role = utcnow(), current_user.role
    last_purge = db.session.scalar(sa.select(sa.func.max(PurgeRun.finished_at)))
    matters = [*_of_sending(role, now), *_of_administration(role)]
    return render_template("staff/attention.html", matters=matters, last_purge=last_purge)


def _of_sending(role: Role, now: datetime) -> Iterator[Matter]:
    stuck = sum(row[-1] for row in count_undelivered(now))
    if stuck and role in _MAILS:
        text = _("Single mails that did not arrive: %(count)s", count=stuck)
        yield Matter(text, url_for("subscribers_staff.mails"))
    if role not in _SENDING:
        return
    if warnings(now):
        yield Matter(_("Mails wait, and no worker takes them. Check that a worker is running."))
    paused = sa.select(sa.func.count()).where(Campaign.status == CampaignStatus.PAUSED)
    if count := db.session.scalar(paused):
        yield Matter(_("Paused campaigns: %(count)s", count=count), url_for("stats.campaigns"))
    if near := len({danger.campaign_id for danger in dangers(now)}):
        text = _("Campaigns with many bounces or spam complaints: %(count)s", count=near)
        yield Matter(text, url_for("stats.campaigns"))
    if refused := turned_away(now):
        text = _("Mails that were turned away because of us this week: %(count)s", count=refused)
        yield Matter(text, url_for("bounce_pages.page"))
    uncertain = sa.select(sa.func.coalesce(sa.func.sum(CampaignTotals.uncertain), 0))
    if count := db.session.scalar(uncertain):
        text = _("Campaign mails of which nobody knows whether they arrived: %(count)s", count=count)
        yield Matter(text, url_for("stats.campaigns"))


def _of_administration(role: Role) -> Iterator[Matter]:
    if role is not Role.ADMIN:
        return
    lacking = sa.select(sa.func.count()).where(
        Staff.active, Staff.role.in_(REQUIRED_OF), Staff.totp_secret.is_(None)
    )
    if count := db.session.scalar(lacking):
        text = _("Accounts without the second step they need: %(count)s", count=count)
        yield Matter(text, url_for("staff_admin.accounts"))
    if count := len(findings()):
        words = _("Settings to look at: %(count)s. The command newsletter doctor names them.", count=count)
        yield Matter(words)
