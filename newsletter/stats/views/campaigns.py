"""Staff pages of campaigns and their figures. Read-only."""

import io
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_security import current_user

from newsletter.bounces.reputation_guard import check_totals
from newsletter.campaigns.drafts import get_campaign, get_campaign_lists, require_campaign_access
from newsletter.campaigns.models import Campaign
from newsletter.campaigns.views.writing import STATUS_LABELS
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.errors import N_
from newsletter.sending.views.status_text import status_sentences
from newsletter.sending.worker.circuit_breaker import pause_reason_text
from newsletter.staff.auth.access import SENDERS, WRITERS, allowed_lists, has_any_role, require_role
from newsletter.staff.models import Role
from newsletter.stats.reports import breakdown, charts, click_map, list_history
from newsletter.stats.reports.breakdown import Timeline
from newsletter.stats.reports.campaign import (
    SHOWN_ON_TRIAL,
    Figures,
    campaign_figures,
    list_names,
    page_of_campaigns,
    recent_hits,
    totals_figures,
)
from newsletter.stats.reports.csv_files import write_campaign_csv
from newsletter.stats.reports.small_counts import CountMasker
from newsletter.tracking.models import MachineClass
from newsletter.web.app import attachment, parse_id
from newsletter.web.i18n import NATIVE_NAMES, translate

bp = Blueprint("stats", __name__, url_prefix="/staff")

PAGE_SIZE = 20
#: Campaigns offered to compare with.
COMPARISON_CHOICES = 12
CLASS_LABELS = {
    MachineClass.HUMAN: N_("Reader"),
    MachineClass.PROXY: N_("Reader, through a mail provider's proxy"),
    MachineClass.APPLE_MPP: N_("Apple Mail Privacy Protection"),
    MachineClass.APPLE_SUSPECTED: N_("Apple Mail Privacy Protection, suspected"),
    MachineClass.SCANNER: N_("Security scanner"),
    MachineClass.BOT: N_("Program"),
}
DIMENSION_LABELS = {
    "language": N_("By language"),
    "list": N_("By list"),
    "provider": N_("By mailbox provider"),
}


@bp.get("/")
@require_role(*Role, by_list=True)
def home() -> ResponseReturnValue:
    return redirect(url_for("attention.page", lang=request.args.get("lang")))


@bp.get("/campaigns")
@require_role(*Role, by_list=True)
def campaigns() -> ResponseReturnValue:
    before, after = request.args.get("before", type=parse_id), request.args.get("after", type=parse_id)
    page = page_of_campaigns(before=before, after=after, size=PAGE_SIZE, lists=allowed_lists())
    return render_template(
        "staff/campaigns.html",
        may_write=has_any_role(*WRITERS),
        campaigns=campaign_rows(page),
        as_of=utcnow(),
        older_url=url_for("stats.campaigns", before=page[-1].id) if len(page) == PAGE_SIZE else None,
        newer_url=url_for("stats.campaigns", after=page[0].id) if page and (before or after) else None,
    )


@bp.get("/campaigns/<int:campaign_id>")
@require_role(*Role, by_list=True)
def campaign(campaign_id: int) -> ResponseReturnValue:
    found, now = get_campaign(campaign_id), utcnow()
    figures, line, shown_cells = campaign_figures(found, now), breakdown.timeline(found, now), count_masker()
    return render_template(
        "staff/campaign.html",
        may_decide=has_any_role(*SENDERS),
        campaign=_campaign_header(found, list_names([found])[found.id]),
        may_write=has_any_role(*WRITERS),
        pacing=status_sentences(found, now),
        figures=figures,
        dangers=check_totals(found.totals),
        clicks_in_all=sum(link.human for link in figures.links),
        cells=shown_cells,
        timeline=line,
        charts=_timeline_charts(line, shown_cells),
        classes=[(translate(CLASS_LABELS[row.machine_class]), row) for row in breakdown.class_figures(found)],
        groups=[
            (dimension, translate(DIMENSION_LABELS[dimension]), rows)
            for dimension, rows in breakdown.segment_figures(found).items()
        ],
        language_names=NATIVE_NAMES,
        comparison=_comparison(found, figures),
        # Whoever tries this out is their own reader; elsewhere one person's hits are for one level only.
        recent=recent_hits(found, SHOWN_ON_TRIAL) if current_settings().is_trial else None,
        kinds={"open": _("Open"), "click": _("Click")},
        makers={kind.value: translate(label) for kind, label in CLASS_LABELS.items()},
    )


@bp.get("/campaigns/<int:campaign_id>.csv")
@require_role(*Role, fresh=True, by_list=True)
def campaign_file(campaign_id: int) -> ResponseReturnValue:
    found = get_campaign(campaign_id)
    text = io.StringIO(newline="")
    write_campaign_csv(text, found, utcnow(), count_masker())
    return attachment(text.getvalue(), f"campaign-{found.id}.csv")


@bp.get("/campaigns/<int:campaign_id>/letter/<int:edition_id>")
@require_role(*Role, by_list=True)
def campaign_letter(campaign_id: int, edition_id: int) -> ResponseReturnValue:
    edition = click_map.get_edition(get_campaign(campaign_id), edition_id)
    response = Response(click_map.render_click_map(edition, count_masker()), mimetype="text/html")
    # A newsletter brings its own styles and pictures; here it has no scripts and leads nowhere.
    response.headers["Content-Security-Policy"] = (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' https: data:;"
        " frame-ancestors 'self'"
    )
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


def count_masker() -> CountMasker:
    """Return how small counts are written for whoever is signed in."""
    return CountMasker(sees_all=current_user.role is Role.PRIVACY or current_settings().is_trial)


def campaign_rows(page: Sequence[Campaign]) -> list[dict[str, Any]]:
    """Return campaigns with their figures, as the tables of campaigns show them."""
    names = list_names(page)
    return [_campaign_row(campaign, names[campaign.id]) for campaign in page]


def _campaign_header(found: Campaign, lists: list[str]) -> dict[str, Any]:
    return {
        "id": found.id,
        "subject": found.subject,
        "status": translate(STATUS_LABELS[found.status]),
        "status_code": found.status.value,
        "paused_because": translate(reason) if (reason := pause_reason_text(found)) else None,
        "pause_reply": found.pause_reply,
        "lists": lists,
        "created_at": found.created_at,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
        "editions": [
            {
                "id": edition.id,
                "language": edition.language,
                "language_name": NATIVE_NAMES.get(edition.language, edition.language),
                "subject": edition.subject,
            }
            for edition in found.editions
        ],
    }


def _campaign_row(found: Campaign, lists: list[str]) -> dict[str, Any]:
    figures = totals_figures(found.totals, utcnow())
    return _campaign_header(found, lists) | {"figures": figures if found.started_at else None}


def _timeline_charts(line: Timeline, shown: CountMasker) -> list[dict[str, Any]]:
    """Return opens and clicks of the hours and of the days: people above the line, machines below."""
    found = []
    for unit, spans in (("hour", line.hours), ("day", line.days)):
        for kind in ("opens", "clicks"):
            people = [shown.for_chart(getattr(span, f"{kind}_human")) for span in spans]
            machines = [shown.for_chart(getattr(span, f"{kind}_machine")) for span in spans]
            if any(people) or any(machines):
                drawn = charts.mirrored_bars(people, machines)
                found.append({"unit": unit, "kind": kind, "spans": spans, "drawn": drawn})
    return found


def _comparison(found: Campaign, figures: Figures) -> dict[str, Any]:
    """Return what stands beside a campaign: another one, or the usual of one of its lists."""
    asked, now = request.args.get("with", ""), utcnow()
    lists = get_campaign_lists(found)
    others = [
        campaign
        for campaign in page_of_campaigns(size=COMPARISON_CHOICES + 1, lists=allowed_lists())
        if campaign.id != found.id and campaign.started_at
    ][:COMPARISON_CHOICES]
    chosen = {f"list-{item.id}": item for item in lists}
    data: dict[str, Any] = {
        "lists": lists, "others": others, "asked": asked,
        "ours": list_history.campaign_rates(figures), "theirs": None,
    }  # fmt: skip
    if asked in chosen:
        sent = list_history.sent_campaigns(chosen[asked].id, exclude=found.id, within=allowed_lists())
        data["theirs"] = list_history.median_rates(sent, now)
        data["name"] = chosen[asked].name
    elif asked.isdigit() and len(asked) < 10 and int(asked) != found.id:  # noqa: PLR2004 - a number of ours
        if (mine := allowed_lists()) is not None:
            require_campaign_access(int(asked), mine)
        other = get_campaign(int(asked))
        data["theirs"] = list_history.campaign_rates(totals_figures(other.totals, now))
        data["name"] = other.subject
    return data
