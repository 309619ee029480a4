"""Staff pages of single lists, and the CSV file of all. The overview page itself is in running."""

import io
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from newsletter.campaigns.models import Campaign
from newsletter.clock import utcnow
from newsletter.staff.auth.access import allowed_lists, require_role
from newsletter.staff.models import Role
from newsletter.stats.reports import charts, list_history, overview
from newsletter.stats.reports.csv_files import write_lists_csv
from newsletter.stats.views.campaigns import campaign_rows, count_masker
from newsletter.subscribers.lists import get_lists
from newsletter.web.app import attachment, parse_id
from newsletter.web.i18n import language

bp = Blueprint("overview", __name__, url_prefix="/staff")

PERIOD_CHOICES = (30, 90, 365)


@bp.get("/overview.csv")
@require_role(*Role, fresh=True, by_list=True)
def file() -> ResponseReturnValue:
    text = io.StringIO(newline="")
    write_lists_csv(text, overview.list_growth(utcnow(), selected_period(), allowed_lists()), count_masker())
    return attachment(text.getvalue(), "lists.csv")


@bp.get("/lists/<slug>")
@require_role(*Role, by_list=True)
def mailing_list(slug: str) -> ResponseReturnValue:
    (found,) = get_lists([slug])
    now, days = utcnow(), selected_period()
    (growth,) = overview.list_growth(now, days, [found.slug])
    sent = list_history.sent_campaigns(found.id, within=allowed_lists())
    return render_template(
        "staff/list.html",
        list=found,
        growth=growth,
        line=charts.sparkline([day.members for day in growth.days], 720, 120),
        days=days,
        periods=PERIOD_CHOICES,
        campaigns=campaign_rows(sent),
        usual=list_history.median_rates(sent, now),
        heat=_heat_map(sent),
        cells=count_masker(),
        as_of=now,
    )


def selected_period() -> int:
    """Return over how many days a page was asked to look back."""
    days = request.args.get("days", type=parse_id)
    return days if days in PERIOD_CHOICES else PERIOD_CHOICES[1]


def _heat_map(sent: Sequence[Campaign]) -> dict[str, Any]:
    found = list_history.best_time(sent)
    highest = max(map(max, found.counts))
    locale = get_locale()
    names = locale.days["stand-alone"]["wide"] if locale else {}
    starts = range(0, 24, list_history.HOURS_PER_COLUMN)
    hour = "{}–{}" if language() == "fi" else "{:02}–{:02}"
    shown = count_masker()
    return {
        "total": found.total,
        "columns": [hour.format(start, start + list_history.HOURS_PER_COLUMN) for start in starts],
        "rows": [
            (
                str(names.get(day, day)).capitalize(),
                [(number, charts.heat_level(shown.for_chart(number), highest)) for number in numbers],
            )
            for day, numbers in enumerate(found.counts)
        ],
    }
