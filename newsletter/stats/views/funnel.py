"""Staff pages of the sign-up funnel: a page, and a CSV file. Totals only."""

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

from flask import Blueprint, render_template, request, stream_with_context, url_for
from flask.typing import ResponseReturnValue
from flask_babel import format_date
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.errors import N_
from newsletter.staff.auth.access import allowed_lists, require_role
from newsletter.staff.models import Role
from newsletter.stats.reports import funnel
from newsletter.stats.reports.funnel import STEPS, Filter, FunnelGroup
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import FunnelStep
from newsletter.subscribers.signup.funnel import OTHER_HOST
from newsletter.web.app import attachment
from newsletter.web.csv_output import CsvWriter
from newsletter.web.i18n import NATIVE_NAMES, translate

bp = Blueprint("funnel", __name__, url_prefix="/staff")

#: Smaller counts do not leave the house (ST-3): they could point to someone.
MIN_EXPORTED_COUNT = 5
STEP_LABELS = {
    FunnelStep.SHOWN: N_("Form shown"),
    FunnelStep.SENT_IN: N_("Form sent in"),
    FunnelStep.MAIL_ACCEPTED: N_("Confirmation mail accepted"),
    FunnelStep.PAGE_OPENED: N_("Confirmation page opened"),
    FunnelStep.CONFIRMED: N_("Subscription confirmed"),
}


@bp.get("/funnel")
@require_role(*Role, by_list=True)
def page() -> ResponseReturnValue:
    chosen = _read_filter()
    groups, months = funnel.groups(chosen), funnel.by_month(chosen)
    totals = funnel.totals(groups["list"])
    return render_template(
        "staff/funnel.html",
        as_of=utcnow(),
        lists=all_lists(allowed_lists()),
        months=[_month_choice(month, chosen) for month, _counts in months],
        chosen=chosen,
        steps=[(translate(STEP_LABELS[step]), totals[step], _step_share(totals, step)) for step in STEPS],
        labels=[translate(STEP_LABELS[step]) for step in STEPS],
        groups=_named_groups(groups),
        month_rows=[(_month_name(month), list(numbers.values())) for month, numbers in months],
        csv_url=url_for("funnel.file", list=chosen.list_slug, month=request.args.get("month")),
    )


@bp.get("/funnel.csv")
@require_role(*Role, fresh=True, by_list=True)
def file() -> ResponseReturnValue:
    return attachment(stream_with_context(_csv_chunks(_read_filter())), "funnel.csv")


def _csv_chunks(chosen: Filter) -> Iterator[str]:
    """Yield the file of years month by month: its beginning is there at once, and it is nowhere whole."""
    yield _csv([["day", "list", "language", "form", *(step.value for step in STEPS)]])
    for rows in funnel.days_by_month(chosen):
        yield _csv([*names, *map(_mask_small_count, counts)] for *names, counts in rows)


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    table = CsvWriter(text)
    for row in rows:
        table.write(row)
    return text.getvalue()


def _named_groups(counted: dict[str, list[FunnelGroup]]) -> dict[str, list[tuple[str, list[int]]]]:
    groups = {kind: [(row.name, list(row.counts.values())) for row in rows] for kind, rows in counted.items()}
    groups["language"] = [(NATIVE_NAMES.get(code, code), counts) for code, counts in groups["language"]]
    groups["form"] = [
        (_("Other sites") if host == OTHER_HOST else host, counts) for host, counts in groups["form"]
    ]
    return groups


def _month_choice(month: date, chosen: Filter) -> dict[str, Any]:
    return {
        "value": f"{month:%Y-%m}",
        "label": _month_name(month),
        "chosen": month == chosen.month,
    }


def _month_name(month: date) -> str:
    name = str(format_date(month, "LLLL y"))
    return name[:1].upper() + name[1:]


def _mask_small_count(count: int) -> str:
    return f"<{MIN_EXPORTED_COUNT}" if 0 < count < MIN_EXPORTED_COUNT else str(count)


def _step_share(totals: dict[FunnelStep, int], step: FunnelStep) -> dict[str, Any]:
    """Return a step's share of the forms sent in: a bare form elsewhere shows itself uncounted."""
    base = totals[FunnelStep.SENT_IN]
    has_share = base > 0 and step not in {FunnelStep.SHOWN, FunnelStep.SENT_IN}
    return {"base": base if has_share else None, "share": totals[step] / base if has_share else None}


def _read_filter() -> Filter:
    try:
        month = date.fromisoformat(f"{request.args.get('month', '')}-01")
    except ValueError:
        month = None
    own = allowed_lists()
    known = {item.slug for item in all_lists(own)}
    slug = request.args.get("list")
    within = None if own is None else tuple(own)
    return Filter(list_slug=slug if slug in known else None, month=month, within=within)
