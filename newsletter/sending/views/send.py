"""The staff page of sending a campaign: preflight, test mails, send or schedule, progress."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.campaigns.content.checks import Finding
from newsletter.campaigns.content.previews import preview_response
from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.editing import confirm_words, get_edition
from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.campaigns.views.writing import campaign_heading, language_fallbacks
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.mail.deliverability import status
from newsletter.mail.deliverability.messages import CHECK_NAMES as STANDING_NAMES
from newsletter.mail.deliverability.messages import MESSAGES
from newsletter.mail.models import Grade
from newsletter.sending.lifecycle import control, release
from newsletter.sending.lifecycle.audience import Audience, audience_of
from newsletter.sending.lifecycle.local_time import TimeSkipped, TimeTwice, TimeUnreadable, parse_local_time
from newsletter.sending.lifecycle.preflight import check_campaign
from newsletter.sending.lifecycle.progress import Progress, progress_of
from newsletter.sending.message.test_mail import (
    SAMPLE_ADDRESS,
    NotStaff,
    sample_message,
    send_test,
    staff_addresses,
)
from newsletter.sending.views.status_text import status_sentences
from newsletter.sending.worker.circuit_breaker import pause_reason_text
from newsletter.staff.accounts import actor_display_name
from newsletter.staff.auth.access import SENDERS, WRITERS, actor, has_any_role, require_role
from newsletter.staff.models import Role
from newsletter.wakeups import wake_now
from newsletter.web.app import parse_id
from newsletter.web.i18n import NATIVE_NAMES, format_number, translate

bp = Blueprint("start", __name__, url_prefix="/staff/campaigns")

EXCLUSION_LABELS = {
    "unconfirmed": N_("Not confirmed"),
    "left": N_("Left"),
    "suppressed": N_("Must not be written to"),
    "restricted": N_("Processing restricted"),
}
GRADE_LABELS = {
    Grade.FINE: N_("In order"),
    Grade.NOTE: N_("Worth knowing"),
    Grade.UNKNOWN: N_("Not known"),
    Grade.FAILED: N_("Error"),
}
#: Over how many hours recipients can be spread.
SPREAD_HOURS = (1, 2, 4, 8, 12, 24)
#: Which field of the page a refusal is about.
FIELD_OF_ERROR: dict[type[NewsletterError], str] = {
    release.CountDiffers: "count",
    release.SchedulePast: "day",
    TimeUnreadable: "day",
    TimeSkipped: "time",
    TimeTwice: "time",
    NotStaff: "addresses",
}


@bp.get("/<int:campaign_id>/send")
@require_role(*WRITERS, by_list=True)
def page(campaign_id: int) -> ResponseReturnValue:
    return _page(get_campaign(campaign_id))


@bp.post("/<int:campaign_id>/send")
@require_role(*SENDERS, fresh=True, by_list=True)
def send(campaign_id: int) -> ResponseReturnValue:
    form = request.form
    campaign = get_campaign(campaign_id)
    try:
        at = None
        if form.get("when") == "later":
            text = f"{form.get('day', '')}T{form.get('time', '')}"
            at = parse_local_time(text, fold=form.get("fold", type=parse_id))
        typed = "".join(form.get("count", "").split())
        number = int(typed) if typed.isdecimal() and len(typed) < 12 else -1  # noqa: PLR2004 - digits enough
        hours = form.get("over", 0, type=int)
        release.release_campaign(
            campaign_id,
            at=at,
            typed=number,
            now=utcnow(),
            actor=actor(),
            over=timedelta(hours=hours) if hours in SPREAD_HOURS else None,
            despite="despite" in form and has_any_role(Role.ADMIN),
        )
    except NewsletterError as error:
        return _refused(campaign_id, error)
    db.session.commit()
    flash(_release_message(campaign))
    return redirect(url_for(".page", campaign_id=campaign_id), 303)


@bp.post("/<int:campaign_id>/words")
@require_role(*WRITERS, by_list=True)
def words(campaign_id: int) -> ResponseReturnValue:
    language, confirmed = request.form.get("edition", ""), request.form.get("words", "")
    try:
        confirm_words(campaign_id, language, confirmed, now=utcnow(), actor=actor())
    except NewsletterError as error:
        return _refused(campaign_id, error)
    db.session.commit()
    flash(_("Readers will see “%(words)s”.", words=confirmed))
    return redirect(url_for(".page", campaign_id=campaign_id), 303)


@bp.post("/<int:campaign_id>/test")
@require_role(*WRITERS, by_list=True)
def test(campaign_id: int) -> ResponseReturnValue:
    campaign = get_campaign(campaign_id)
    languages = [edition.language for edition in campaign.editions]
    chosen = [code for code in languages if code in request.form.getlist("editions")] or languages
    try:
        number = send_test(
            campaign_id, chosen, request.form.getlist("addresses"), now=utcnow(), actor=actor()
        )
    except NewsletterError as error:
        return _refused(campaign_id, error)
    db.session.commit()
    flash(_("Test mails on their way: %(count)s", count=number))
    return redirect(url_for(".page", campaign_id=campaign_id), 303)


@bp.post("/<int:campaign_id>/pause")
@require_role(*SENDERS, by_list=True)
def pause(campaign_id: int) -> ResponseReturnValue:
    return _act(campaign_id, control.pause, _("Paused. Mails that were being handed over still go out."))


@bp.post("/<int:campaign_id>/resume")
@require_role(*SENDERS, fresh=True, by_list=True)
def resume(campaign_id: int) -> ResponseReturnValue:
    return _act(campaign_id, control.resume, _("Sending goes on."))


@bp.post("/<int:campaign_id>/cancel")
@require_role(*SENDERS, fresh=True, by_list=True)
def cancel(campaign_id: int) -> ResponseReturnValue:
    return _act(campaign_id, control.cancel, _("Cancelled. Nobody else gets it."))


@bp.post("/<int:campaign_id>/withdraw")
@require_role(*SENDERS, by_list=True)
def withdraw(campaign_id: int) -> ResponseReturnValue:
    return _act(campaign_id, release.withdraw, _("The campaign is a draft again."))


@bp.get("/<int:campaign_id>/progress")
@require_role(*WRITERS, by_list=True)
def progress(campaign_id: int) -> ResponseReturnValue:
    found = get_campaign(campaign_id)
    so_far = progress_of(found)
    return jsonify(
        status=found.status.value, handled=so_far.handled, of=so_far.recipients, said=_progress_text(so_far)
    )


@bp.get("/<int:campaign_id>/raw/<language>")
@require_role(*WRITERS, by_list=True)
def raw(campaign_id: int, language: str) -> ResponseReturnValue:
    campaign = get_campaign(campaign_id)
    message = sample_message(campaign, get_edition(campaign, language), to=SAMPLE_ADDRESS, now=utcnow())
    return preview_response(message.decode("ascii"), "text/plain")


@bp.post("/<int:campaign_id>/standing")
@require_role(*WRITERS, by_list=True)
def look_again(campaign_id: int) -> ResponseReturnValue:
    # A worker asks: name servers may take longer than anybody waits for a page.
    wake_now("standing")
    flash(_("It is being looked at. Load the page anew in a moment."))
    return redirect(url_for(".page", campaign_id=campaign_id) + "#standing-title", 303)


def _act(campaign_id: int, act: Callable[..., Campaign], said: str) -> Response:
    act(campaign_id, now=utcnow(), actor=actor())
    db.session.commit()
    flash(said)
    return redirect(url_for(".page", campaign_id=campaign_id), 303)  # type: ignore[return-value] # werkzeug's


def _refused(campaign_id: int, error: NewsletterError) -> ResponseReturnValue:
    db.session.rollback()
    campaign = get_campaign(campaign_id)
    said = translate(error.message, error.values)
    return _page(
        campaign, {FIELD_OF_ERROR.get(type(error), "send"): said}, twice=isinstance(error, TimeTwice)
    ), 422


def _page(campaign: Campaign, errors: dict[str, str] | None = None, *, twice: bool = False) -> str:
    is_open = campaign.status is CampaignStatus.DRAFT or campaign.held_reason is not None
    audience = audience_of(campaign) if is_open else None
    findings = check_campaign(campaign, audience, now=utcnow()) if is_open else []
    own = [item for item in findings if not item.is_overridable and item.code not in STANDING_NAMES]
    return render_template(
        "staff/campaign_send.html",
        campaign=campaign_heading(campaign)
        | {
            "scheduled_at": campaign.scheduled_at,
            "started_at": campaign.started_at,
            "held": campaign.held_reason.value if campaign.held_reason else "",
            "proposed_by": actor_display_name(campaign.proposed_by) if campaign.proposed_by else "",
            "is_own_proposal": campaign.proposed_by == actor(),
        },
        is_open=is_open,
        audience=_audience(audience) if audience else None,
        missing=language_fallbacks(campaign),
        findings=[_finding(item) for item in own],
        is_blocked=any(item.is_error for item in own),
        standing=_deliverability() if is_open else None,
        is_held_back=any(item.is_error and item.is_overridable for item in findings),
        may_override=has_any_role(Role.ADMIN),
        spreads=SPREAD_HOURS,
        pacing=status_sentences(campaign, utcnow()),
        paused_because=translate(reason) if (reason := pause_reason_text(campaign)) else None,
        pause_reply=campaign.pause_reply,
        progress=_progress(campaign),
        editions=[{"code": item.language, "name": NATIVE_NAMES[item.language]} for item in campaign.editions],
        staff=staff_addresses() if is_open else [],
        may_send=has_any_role(*SENDERS),
        second_person=current_settings().second_person,
        timezone=str(current_settings().timezone),
        errors=errors or {},
        twice=twice,
        values={name: request.form.get(name, "") for name in ("when", "day", "time", "count", "over")},
    )


def _audience(audience: Audience) -> dict[str, Any]:
    return {
        "recipients": audience.recipients,
        "spared": audience.spared,
        "reasons": {code: translate(words) for code, words in EXCLUSION_LABELS.items()},
        "lists": audience.lists,
        "by_language": _by_language_name(audience.by_language),
        "by_edition": _by_language_name(audience.by_edition),
    }


def _by_language_name(counts: dict[str, int]) -> list[tuple[str, int]]:
    return [(NATIVE_NAMES.get(code, code), number) for code, number in sorted(counts.items())]


def _finding(item: Finding) -> dict[str, Any]:
    return {
        "is_error": item.is_error,
        "language": NATIVE_NAMES[item.language] if item.language else "",
        "message": translate(item.message, item.values),
        "advice": translate(item.advice, item.values) if item.advice else "",
        "edition": item.language,
        "confirmable": item.confirmable,
    }


def _deliverability() -> dict[str, Any] | None:
    """Return the last deliverability checks for the page; None where they are not required."""
    if not status.is_required(current_settings()):
        return None
    rows = status.latest_results()
    return {
        "as_of": rows[0].checked_at if rows else None,
        "is_old": not rows or utcnow() - rows[0].checked_at > status.STALE_AFTER,
        "rows": [
            {
                "name": translate(STANDING_NAMES[row.code]),
                "grade": row.grade.value,
                "shown": translate(GRADE_LABELS[row.grade]),
                "message": translate(MESSAGES[row.word][0], row.details),
                "advice": translate(MESSAGES[row.word][1], row.details) if MESSAGES[row.word][1] else "",
            }
            for row in rows
        ],
    }


def _progress(campaign: Campaign) -> dict[str, Any] | None:
    if campaign.started_at is None:
        return None
    so_far = progress_of(campaign)
    return {"handled": so_far.handled, "of": so_far.recipients, "said": _progress_text(so_far)}


def _progress_text(so_far: Progress) -> str:
    handled, of = format_number(so_far.handled), format_number(so_far.recipients)
    return str(_("%(part)s of %(base)s handled", part=handled, base=of))


def _release_message(campaign: Campaign) -> str:
    if campaign.status is CampaignStatus.SENDING:
        return str(_("The campaign is on its way."))
    if campaign.status is CampaignStatus.SCHEDULED:
        return str(_("The campaign is scheduled."))
    return str(_("Asked for. Another person with the right to send has to agree."))
