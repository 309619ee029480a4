"""The pages of single lists, and the file of them all. The overview itself stands above, in running."""

import io
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from newsletter.campaigns.models import Campaign
from newsletter.clock import utcnow
from newsletter.staff.auth.access import needs, own_lists
from newsletter.staff.models import Role
from newsletter.stats.reports import charts, list_history, overview
from newsletter.stats.reports.csv_files import write_lists
from newsletter.stats.views.campaigns import campaign_rows, cells
from newsletter.subscribers.lists import get_lists
from newsletter.web.app import attachment, whole
from newsletter.web.i18n import language

bp = Blueprint("overview", __name__, url_prefix="/staff")

PERIODS = (30, 90, 365)


@bp.get("/overview.csv")
@needs(*Role, fresh=True, by_list=True)
def file() -> ResponseReturnValue:
    text = io.StringIO(newline="")
    write_lists(text, overview.growth(utcnow(), period(), own_lists()), cells())
    return attachment(text.getvalue(), "lists.csv")


@bp.get("/lists/<slug>")
@needs(*Role, by_list=True)
def mailing_list(slug: str) -> ResponseReturnValue:
    (found,) = get_lists([slug])
    now, days = utcnow(), period()
    (growth,) = overview.growth(now, days, [found.slug])
    sent = list_history.sent_campaigns(found.id, within=own_lists())
    return render_template(
        "staff/list.html",
        list=found,
        growth=growth,
        line=charts.line([day.members for day in growth.days], 720, 120),
        days=days,
        periods=PERIODS,
        campaigns=campaign_rows(sent),
        usual=list_history.usual(sent, now),
        heat=_heat(sent),
        cells=cells(),
        as_of=now,
    )


def period() -> int:
    """Return over how many days a page was asked to look back."""
    days = request.args.get("days", type=whole)
    return days if days in PERIODS else PERIODS[1]


def _heat(sent: Sequence[Campaign]) -> dict[str, Any]:
    found = list_history.best_time(sent)
    highest = max(map(max, found.counts))
    locale = get_locale()
    names = locale.days["stand-alone"]["wide"] if locale else {}
    starts = range(0, 24, list_history.HOURS_A_COLUMN)
    hour = "{}–{}" if language() == "fi" else "{:02}–{:02}"
    shown = cells()
    return {
        "total": found.total,
        "columns": [hour.format(start, start + list_history.HOURS_A_COLUMN) for start in starts],
        "rows": [
            (
                str(names.get(day, day)).capitalize(),
                [(number, charts.heat(shown.shown(number), highest)) for number in numbers],
            )
            for day, numbers in enumerate(found.counts)
        ],
    }
