"""``/api/v1/campaigns``: create, edit, preview and send campaigns, and read their figures."""

from datetime import UTC, timedelta
from typing import Any

from newsletter.api.auth import actor, current_token, needs_scope, require_lists, require_scope
from newsletter.api.resource import documents_problems, make_resource, require_if_match
from newsletter.api.schemas import (
    MAX_ID,
    CampaignIn,
    CampaignOut,
    CampaignsOut,
    EditionIn,
    EditionOut,
    FiguresOut,
    Paging,
    PreviewOut,
    SendIn,
)
from newsletter.campaigns.content.compose import compose
from newsletter.campaigns.drafts import UnknownCampaign, create_campaign, get_campaign, get_campaign_lists
from newsletter.campaigns.editing import get_edition, save_edition
from newsletter.campaigns.models import Campaign, Edition
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.sending.lifecycle.release import release_campaign
from newsletter.stats.reports.campaign import campaign_figures, page_of_campaigns
from newsletter.subscribers.lists import get_lists

bp = make_resource("campaigns", "Issues of a newsletter, from draft to sent, and their figures.")


@bp.get("/campaigns")
@needs_scope("campaigns:read")
@documents_problems(bp, 422)
@bp.arguments(Paging, location="query")
@bp.response(200, CampaignsOut)
def show_campaigns(asked: dict[str, Any]) -> dict[str, Any]:
    """Show campaigns, newest first."""
    limit = asked["limit"]
    rows = page_of_campaigns(before=asked.get("after"), size=limit + 1, lists=current_token().lists)
    shown = rows[:limit]
    return {
        "items": [_as_data(row) for row in shown],
        "next": shown[-1].id if len(rows) > limit else None,
    }


@bp.post("/campaigns")
@needs_scope("campaigns:write")
@documents_problems(bp, 400, 404, 409, 413, 415, 422)
@bp.arguments(CampaignIn)
@bp.response(201, CampaignOut)
def write_campaign(sent: dict[str, Any]) -> dict[str, Any]:
    """Write a campaign. Nothing is sent before its `send`."""
    slugs = sent.pop("lists")
    require_lists(slugs)
    made = create_campaign(get_lists(slugs), **sent, now=utcnow(), actor=actor())
    db.session.commit()
    return _as_data(made)


@bp.get("/campaigns/<int:campaign_id>")
@needs_scope("campaigns:read")
@documents_problems(bp, 404)
@bp.response(200, CampaignOut)
def show_campaign(campaign_id: int) -> dict[str, Any]:
    """Show one campaign and how far it is."""
    return _as_data(_get_visible_campaign(campaign_id))


@bp.get("/campaigns/<int:campaign_id>/preview")
@needs_scope("campaigns:read")
@documents_problems(bp, 404)
@bp.response(200, PreviewOut)
def preview_campaign(campaign_id: int) -> dict[str, Any]:
    """Show a campaign as it will look."""
    editions = []
    for edition in _get_visible_campaign(campaign_id).editions:
        parts = compose(edition)
        editions.append(
            {
                "language": edition.language,
                "subject": edition.subject,
                "text": parts.text,
                "html": parts.html,
            }
        )
    return {"editions": editions}


@bp.get("/campaigns/<int:campaign_id>/editions/<language>")
@needs_scope("campaigns:read")
@documents_problems(bp, 404)
@bp.response(200, EditionOut)
def show_edition(campaign_id: int, language: str) -> Edition:
    """Show what is written in one language. Its ETag is what a change has to name."""
    return get_edition(_get_visible_campaign(campaign_id), language)


@bp.put("/campaigns/<int:campaign_id>/editions/<language>")
@needs_scope("campaigns:write")
@documents_problems(bp, 400, 404, 412, 413, 415, 422, 428)
@bp.arguments(EditionIn)
@bp.response(200, EditionOut)
def write_edition(sent: dict[str, Any], campaign_id: int, language: str) -> Edition:
    """Write over what has been read of a draft: nobody else's words are lost unseen."""
    edition = get_edition(_get_visible_campaign(campaign_id, lock=True), language)
    require_if_match(EditionOut(), edition, must=True)
    saved = save_edition(campaign_id, language, version=edition.version, **sent, now=utcnow(), actor=actor())
    db.session.commit()
    return saved


@bp.post("/campaigns/<int:campaign_id>/send")
@needs_scope("campaigns:send")
@documents_problems(bp, 400, 404, 409, 412, 413, 415, 422)
@bp.arguments(SendIn, required=False)
@bp.response(202, CampaignOut)
def send_campaign(asked: dict[str, Any], campaign_id: int) -> dict[str, Any]:
    """Send a draft, now or later, to who is confirmed on its lists; under SECOND_PERSON, ask for it."""
    if asked["despite_preflight"]:
        require_scope("campaigns:override")
    require_if_match(CampaignOut(), _as_data(_get_visible_campaign(campaign_id, lock=True)))
    hours = asked["over_hours"]
    sent = release_campaign(
        campaign_id,
        at=asked["at"] and asked["at"].astimezone(UTC),
        now=utcnow(),
        actor=actor(),
        over=timedelta(hours=hours) if hours else None,
        despite=asked["despite_preflight"],
    )
    db.session.commit()
    return _as_data(sent)


@bp.get("/campaigns/<int:campaign_id>/figures")
@needs_scope("figures:read")
@documents_problems(bp, 404)
@bp.response(200, FiguresOut)
def show_figures(campaign_id: int) -> dict[str, Any]:
    """Show what became of a campaign, in totals only."""
    return campaign_figures(_get_visible_campaign(campaign_id), utcnow()).as_dict()


def _get_visible_campaign(campaign_id: int, *, lock: bool = False) -> Campaign:
    if campaign_id > MAX_ID:
        raise UnknownCampaign(id=campaign_id)
    found = get_campaign(campaign_id, lock=lock)
    if not _is_visible(found):
        raise UnknownCampaign(id=campaign_id)
    return found


def _is_visible(campaign: Campaign) -> bool:
    """Return whether the token may see a campaign: one limited to lists, only if it goes to no others."""
    allowed = current_token().lists
    return allowed is None or {row.slug for row in get_campaign_lists(campaign)} <= set(allowed)


def _as_data(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "status": campaign.status.value,
        "lists": [row.slug for row in get_campaign_lists(campaign)],
        "subject": campaign.subject,
        "languages": [edition.language for edition in campaign.editions],
        "created_at": campaign.created_at,
        "started_at": campaign.started_at,
        "scheduled_at": campaign.scheduled_at,
        "finished_at": campaign.finished_at,
        "over_hours": campaign.spread_minutes // 60 if campaign.spread_minutes else None,
    }
