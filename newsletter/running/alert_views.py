"""The first page of staff: what needs attention on top, then the lists and the last campaigns."""

import sqlalchemy as sa
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import current_user

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.privacy.models import PurgeRun
from newsletter.running.alerts import MENDERS, matters
from newsletter.staff.auth.access import is_one_of, needs, own_lists
from newsletter.staff.models import Role
from newsletter.stats.reports import charts, overview
from newsletter.stats.reports.campaign import page_of_campaigns
from newsletter.stats.views.campaigns import campaign_rows, cells
from newsletter.stats.views.lists import PERIODS, period

bp = Blueprint("attention", __name__, url_prefix="/staff")

SIDE_BY_SIDE = 6


@bp.get("/overview")
@needs(*Role, by_list=True)
def page() -> ResponseReturnValue:
    now, days, lists = utcnow(), period(), own_lists()
    growths = overview.growth(now, days, lists)
    last = page_of_campaigns(size=SIDE_BY_SIDE * 2, lists=lists)
    started = [campaign for campaign in last if campaign.started_at]
    return render_template(
        "staff/overview.html",
        can_mend=is_one_of(*MENDERS),
        matters=matters(current_user.role, lists, growths, days=days, now=now),
        last_purge=_last_purge() if is_one_of(Role.PRIVACY, Role.ADMIN) else None,
        sees_purge=is_one_of(Role.PRIVACY, Role.ADMIN),
        growths=[(item, charts.line([day.members for day in item.days])) for item in growths],
        campaigns=campaign_rows(started[:SIDE_BY_SIDE]),
        cells=cells(),
        days=days,
        periods=PERIODS,
        as_of=now,
    )


# Where what needs attention stood by itself.
@bp.get("/attention")
@needs(*Role, by_list=True)
def moved() -> ResponseReturnValue:
    return redirect(url_for(".page", lang=request.args.get("lang")), 301)


def _last_purge() -> PurgeRun | None:
    finished = sa.select(PurgeRun).where(PurgeRun.finished_at.is_not(None))
    return db.session.scalar(finished.order_by(PurgeRun.finished_at.desc()).limit(1))
