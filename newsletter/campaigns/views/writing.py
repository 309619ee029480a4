"""Staff pages to write a newsletter, with a preview beside it."""

from typing import Any

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_security import current_user

from newsletter.campaigns import editing
from newsletter.campaigns.content.compose import compose
from newsletter.campaigns.content.pictures import (
    MAX_UPLOAD_BYTES,
    PictureUnreadable,
    picture_url,
    store_picture,
)
from newsletter.campaigns.content.previews import preview_response
from newsletter.campaigns.drafts import create_draft, get_campaign
from newsletter.campaigns.models import Campaign, CampaignStatus, Edition
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.staff.accounts import actor_display_name
from newsletter.staff.auth.access import SENDERS, WRITERS, actor, allowed_lists, has_any_role, require_role
from newsletter.subscribers.lists import all_lists, get_lists
from newsletter.web.app import parse_id
from newsletter.web.i18n import NATIVE_NAMES, format_datetime, translate

bp = Blueprint("writing", __name__, url_prefix="/staff/campaigns")

STATUS_LABELS = {
    CampaignStatus.DRAFT: N_("Draft"),
    CampaignStatus.SCHEDULED: N_("Scheduled"),
    CampaignStatus.SENDING: N_("Sending"),
    CampaignStatus.PAUSED: N_("Paused"),
    CampaignStatus.SENT: N_("Sent"),
    CampaignStatus.CANCELLED: N_("Cancelled"),
}
#: The modes of the preview frame.
PREVIEW_MODES = ("desktop", "phone", "text", "raw")
#: Bytes of a multipart form besides the picture.
_FORM_OVERHEAD_BYTES = 100_000


@bp.get("/new")
@require_role(*WRITERS, by_list=True)
def new() -> ResponseReturnValue:
    return _new_page({})


@bp.post("/new")
@require_role(*WRITERS, by_list=True)
def begin() -> ResponseReturnValue:
    lists = get_lists(request.form.getlist("lists"), allowed_lists())
    errors = {}
    if not lists:
        errors["lists"] = _("Choose at least one newsletter.")
    if not request.form.get("subject", "").strip():
        errors["subject"] = _("Give a subject.")
    if errors:
        return _new_page(errors), 422
    made = create_draft(lists, subject=request.form["subject"], now=utcnow(), actor=actor())
    db.session.commit()
    return redirect(url_for(".edit", campaign_id=made.id), 303)


@bp.get("/<int:campaign_id>/edit")
@require_role(*WRITERS, by_list=True)
def edit(campaign_id: int) -> ResponseReturnValue:
    campaign = get_campaign(campaign_id)
    language = request.args.get("edition", campaign.editions[0].language)
    return _edit_page(campaign, editing.get_edition(campaign, language))


@bp.post("/<int:campaign_id>/edit/<language>")
@require_role(*WRITERS, by_list=True)
def save(campaign_id: int, language: str) -> ResponseReturnValue:
    form = request.form
    try:
        edition = editing.save_edition(
            campaign_id,
            language,
            version=form.get("version", 0, type=parse_id),
            subject=form.get("subject", ""),
            preview=form.get("preview", ""),
            body=form.get("body", ""),
            now=utcnow(),
            actor=actor(),
        )
    except editing.EditionConflict as conflict:
        return _conflict(campaign_id, conflict)
    except NewsletterError as error:
        return _not_saved(campaign_id, language, error)
    db.session.commit()
    if _wants_json():
        return jsonify(version=edition.version, said=_saved_label(edition))
    flash(_("Saved."))
    anchor = "preview" if form.get("act") == "preview" else None
    return redirect(_edit_url(campaign_id, language, _anchor=anchor), 303)


@bp.post("/<int:campaign_id>/editions")
@require_role(*WRITERS, by_list=True)
def add_edition(campaign_id: int) -> ResponseReturnValue:
    edition = editing.add_edition(campaign_id, request.form.get("language", ""), now=utcnow(), actor=actor())
    db.session.commit()
    return redirect(_edit_url(campaign_id, edition.language), 303)


@bp.post("/<int:campaign_id>/editions/<language>/remove")
@require_role(*WRITERS, by_list=True)
def remove_edition(campaign_id: int, language: str) -> ResponseReturnValue:
    editing.remove_edition(campaign_id, language, now=utcnow(), actor=actor())
    db.session.commit()
    flash(_("The edition has been removed."))
    return redirect(url_for(".edit", campaign_id=campaign_id), 303)


@bp.post("/<int:campaign_id>/lists")
@require_role(*WRITERS, by_list=True)
def change_lists(campaign_id: int) -> ResponseReturnValue:
    lists = get_lists(request.form.getlist("lists"), allowed_lists())
    if not lists:
        campaign = get_campaign(campaign_id)
        errors = {"lists": _("Choose at least one newsletter.")}
        return _edit_page(campaign, campaign.editions[0], errors=errors), 422
    editing.change_lists(campaign_id, lists, now=utcnow(), actor=actor())
    db.session.commit()
    flash(_("Saved."))
    return redirect(url_for(".edit", campaign_id=campaign_id), 303)


@bp.post("/<int:campaign_id>/duplicate")
@require_role(*WRITERS, by_list=True)
def duplicate(campaign_id: int) -> ResponseReturnValue:
    made = editing.duplicate_campaign(campaign_id, now=utcnow(), actor=actor())
    db.session.commit()
    flash(_("This is a copy, and a draft of its own."))
    return redirect(url_for(".edit", campaign_id=made.id), 303)


@bp.post("/<int:campaign_id>/pictures/<language>")
@require_role(*WRITERS, by_list=True, upload=MAX_UPLOAD_BYTES + _FORM_OVERHEAD_BYTES)
def upload(campaign_id: int, language: str) -> ResponseReturnValue:
    """Keep a picture and answer with the Markdown that shows it."""
    campaign = get_campaign(campaign_id)
    edition = editing.get_edition(campaign, language)
    file = request.files.get("picture")
    try:
        if file is None:
            raise PictureUnreadable
        picture = store_picture(file.read(), now=utcnow(), actor=actor())
    except NewsletterError as error:
        said = translate(error.message, error.values)
        if _wants_json():
            return jsonify(said=said), 422
        return _edit_page(campaign, edition, errors={"picture": said}), 422
    db.session.commit()
    alt = " ".join(request.form.get("alt", "").translate(str.maketrans("[]", "()")).split())
    markdown = f"![{alt}]({picture_url(picture)})"
    if _wants_json():
        return jsonify(markdown=markdown)
    return _edit_page(campaign, edition, uploaded=markdown)


@bp.get("/<int:campaign_id>/preview/<language>")
@require_role(*WRITERS, by_list=True)
def preview(campaign_id: int, language: str) -> ResponseReturnValue:
    parts = compose(editing.get_edition(get_campaign(campaign_id), language))
    if request.args.get("part") == "text":
        return preview_response(parts.text, "text/plain")
    return preview_response(parts.html, "text/html")


def campaign_heading(campaign: Campaign) -> dict[str, Any]:
    """Return the data of the heading of a campaign's pages."""
    return {
        "id": campaign.id,
        "subject": campaign.subject,
        "status": translate(STATUS_LABELS[campaign.status]),
        "status_code": campaign.status.value,
        "is_draft": campaign.status is CampaignStatus.DRAFT,
        "is_proposed": campaign.status is CampaignStatus.DRAFT and campaign.proposed_by is not None,
    }


def language_fallbacks(campaign: Campaign) -> list[dict[str, str]]:
    """Return the languages without an edition, and the language their readers get instead."""
    written = [edition.language for edition in campaign.editions]
    return [
        {"code": code, "missing": NATIVE_NAMES[code], "instead": NATIVE_NAMES[written[0]]}
        for code in current_settings().languages
        if code not in written
    ]


def _new_page(errors: dict[str, str]) -> str:
    return render_template(
        "staff/campaign_new.html",
        lists=all_lists(allowed_lists()),
        chosen=request.form.getlist("lists"),
        subject=request.form.get("subject", ""),
        errors=errors,
    )


def _edit_page(
    campaign: Campaign,
    edition: Edition,
    *,
    errors: dict[str, str] | None = None,
    conflict: dict[str, str] | None = None,
    uploaded: str = "",
) -> str:
    view = request.args.get("view", "desktop")
    written = _edition_values(edition) | (request.form if "body" in request.form else {})
    return render_template(
        "staff/campaign_edit.html",
        campaign=campaign_heading(campaign),
        edition={
            "language": edition.language,
            "version": edition.version,
            "saved": _saved_label(edition),
            **{name: written[name] for name in ("subject", "preview", "body")},
        },
        editions=[{"code": item.language, "name": NATIVE_NAMES[item.language]} for item in campaign.editions],
        missing=language_fallbacks(campaign),
        lists=all_lists(allowed_lists()),
        chosen={item.list_id for item in campaign.list_ids},
        view=view if view in PREVIEW_MODES else "desktop",
        errors=errors or {},
        conflict=conflict,
        uploaded=uploaded,
        may_send=has_any_role(*SENDERS),
    )


def _edition_values(edition: Edition) -> dict[str, str]:
    return {"subject": edition.subject, "preview": edition.preview, "body": edition.body}


def _conflict(campaign_id: int, conflict: editing.EditionConflict) -> ResponseReturnValue:
    """Render both versions: the stored one, and that of this writer."""
    said = translate(conflict.message)
    if _wants_json():
        return jsonify(said=said), 409
    theirs = _edition_values(conflict.edition) | {"saved": _saved_label(conflict.edition)}
    return _edit_page(get_campaign(campaign_id), conflict.edition, conflict=theirs), 409


def _not_saved(campaign_id: int, language: str, error: NewsletterError) -> ResponseReturnValue:
    said = translate(error.message, error.values)
    if _wants_json():
        return jsonify(said=said), 422
    campaign = get_campaign(campaign_id)
    field = "body" if isinstance(error, editing.BodyTooLong) else "subject"
    return _edit_page(campaign, editing.get_edition(campaign, language), errors={field: said}), 422


def _saved_label(edition: Edition) -> str:
    if edition.saved_at is None:
        return ""
    who = actor_display_name(edition.saved_by or "")
    if who == current_user.email:
        return str(_("Saved: %(time)s", time=format_datetime(edition.saved_at)))
    return str(_("Saved: %(time)s, %(who)s", time=format_datetime(edition.saved_at), who=who))


def _edit_url(campaign_id: int, language: str, **more: Any) -> str:  # noqa: ANN401 - url_for's own
    return url_for(".edit", campaign_id=campaign_id, edition=language, **more)


def _wants_json() -> bool:
    return request.accept_mimetypes.best == "application/json"
