"""The start page of staff: alerts first, then the lists and the latest campaigns."""

import sqlalchemy as sa
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import current_user

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.privacy.models import PurgeRun
from newsletter.running.monitoring.alerts import ALERTED_ROLES, list_alerts
from newsletter.staff.auth.access import allowed_lists, has_any_role, require_role
from newsletter.staff.models import Role
from newsletter.stats.reports import charts, overview
from newsletter.stats.reports.campaign import page_of_campaigns
from newsletter.stats.views.campaigns import campaign_rows, count_masker
from newsletter.stats.views.lists import PERIOD_CHOICES, selected_period

bp = Blueprint("attention", __name__, url_prefix="/staff")

CAMPAIGNS_SHOWN = 6


@bp.get("/overview")
@require_role(*Role, by_list=True)
def page() -> ResponseReturnValue:
    now, days, lists = utcnow(), selected_period(), allowed_lists()
    growths = overview.list_growth(now, days, lists)
    last = page_of_campaigns(size=CAMPAIGNS_SHOWN * 2, lists=lists)
    started = [campaign for campaign in last if campaign.started_at]
    return render_template(
        "staff/overview.html",
        can_mend=has_any_role(*ALERTED_ROLES),
        matters=list_alerts(current_user.role, lists, growths, days=days, now=now),
        last_purge=_last_purge() if has_any_role(Role.PRIVACY, Role.ADMIN) else None,
        sees_purge=has_any_role(Role.PRIVACY, Role.ADMIN),
        growths=[(item, charts.sparkline([day.members for day in item.days])) for item in growths],
        campaigns=campaign_rows(started[:CAMPAIGNS_SHOWN]),
        cells=count_masker(),
        days=days,
        periods=PERIOD_CHOICES,
        as_of=now,
    )


# Where what needs attention stood by itself.
@bp.get("/attention")
@require_role(*Role, by_list=True)
def moved() -> ResponseReturnValue:
    return redirect(url_for(".page", lang=request.args.get("lang")), 301)


def _last_purge() -> PurgeRun | None:
    finished = sa.select(PurgeRun).where(PurgeRun.finished_at.is_not(None))
    return db.session.scalar(finished.order_by(PurgeRun.finished_at.desc()).limit(1))
