"""The marketing pages: campaigns and what became of them. They read and change nothing."""

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.clock import utcnow
from newsletter.errors import N_
from newsletter.i18n import translate
from newsletter.sending.breaker import REASONS
from newsletter.staff.access import staff_only
from newsletter.stats.figures import (
    campaign_figures,
    list_names,
    page_of_campaigns,
    recent_hits,
    totals_figures,
)

bp = Blueprint("stats", __name__, url_prefix="/staff")

PAGE = 20
STATUS_LABELS = {
    CampaignStatus.DRAFT: N_("Draft"),
    CampaignStatus.SCHEDULED: N_("Scheduled"),
    CampaignStatus.SENDING: N_("Sending"),
    CampaignStatus.PAUSED: N_("Paused"),
    CampaignStatus.SENT: N_("Sent"),
    CampaignStatus.CANCELLED: N_("Cancelled"),
}


@bp.get("/")
@staff_only
def home() -> ResponseReturnValue:
    return redirect(url_for("stats.campaigns"))


@bp.get("/campaigns")
@staff_only
def campaigns() -> ResponseReturnValue:
    before, after = request.args.get("before", type=int), request.args.get("after", type=int)
    page = page_of_campaigns(before=before, after=after, size=PAGE)
    names = list_names(page)
    return render_template(
        "staff/campaigns.html",
        campaigns=[_row(campaign, names[campaign.id]) for campaign in page],
        older_url=url_for("stats.campaigns", before=page[-1].id) if len(page) == PAGE else None,
        newer_url=url_for("stats.campaigns", after=page[0].id) if page and (before or after) else None,
    )


@bp.get("/campaigns/<int:campaign_id>")
@staff_only
def campaign(campaign_id: int) -> ResponseReturnValue:
    found = get_campaign(campaign_id)
    figures = campaign_figures(found, utcnow())
    clicks = sum(link.human for link in figures.links)
    shown = figures.as_dict() | {
        "as_of": figures.as_of,
        "open_base": figures.measured,
        "open_rate": figures.open_rate,
        "click_rate": figures.click_rate,
        "links": [
            {
                "url": link.url,
                "human": link.human,
                "machine": link.machine,
                "unique_human": link.unique_human,
                "share": link.human / clicks if clicks else None,
            }
            for link in figures.links
        ],
    }
    return render_template(
        "staff/campaign.html",
        campaign=_head(found, list_names([found])[found.id]),
        figures=shown,
        recent=recent_hits(found),
    )


def _head(found: Campaign, lists: list[str]) -> dict[str, Any]:
    return {
        "id": found.id,
        "subject": found.subject,
        "status": translate(STATUS_LABELS[found.status]),
        "status_code": found.status.value,
        "paused_because": _paused_because(found),
        "pause_reply": found.pause_reply,
        "lists": lists,
        "created_at": found.created_at,
        "started_at": found.started_at,
        "finished_at": found.finished_at,
        "editions": [
            {"language": edition.language, "subject": edition.subject} for edition in found.editions
        ],
    }


def _paused_because(found: Campaign) -> str | None:
    if found.status is not CampaignStatus.PAUSED or found.pause_reason is None:
        return None
    return translate(REASONS[found.pause_reason])


def _row(found: Campaign, lists: list[str]) -> dict[str, Any]:
    figures = totals_figures(found.totals, utcnow())
    numbers = {
        "recipients": figures.recipients,
        "accepted": figures.accepted,
        "opens_unique": figures.opens.unique_human,
        "clicks_unique": figures.clicks.unique_human,
        "open_rate": figures.open_rate,
        "click_rate": figures.click_rate,
        "open_base": figures.measured,
    }
    return _head(found, lists) | {"figures": numbers if found.started_at else None}
