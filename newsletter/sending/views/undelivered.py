"""The staff page about the deliveries of a campaign that failed or are uncertain."""

from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from newsletter.campaigns.drafts import get_campaign
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import N_
from newsletter.sending.models import DeliveryStatus
from newsletter.sending.worker.undelivered import (
    Undelivered,
    count_undelivered,
    leave_uncertain,
    page_of_undelivered,
    send_again,
)
from newsletter.staff.auth.access import SENDERS, actor, require_role
from newsletter.web.app import parse_id
from newsletter.web.i18n import translate

bp = Blueprint("sending_staff", __name__, url_prefix="/staff/campaigns/<int:campaign_id>/undelivered")

PAGE = 50
STATUS_LABELS = {DeliveryStatus.FAILED: N_("Failed"), DeliveryStatus.UNCERTAIN: N_("Uncertain")}


@bp.get("")
@require_role(*SENDERS, by_list=True)
def undelivered(campaign_id: int) -> ResponseReturnValue:
    return _page(campaign_id)


@bp.post("")
@require_role(*SENDERS, fresh=True, by_list=True)
def decide(campaign_id: int) -> ResponseReturnValue:
    decision, now, me = request.form.get("decision"), utcnow(), actor()
    if decision == "failed-again":
        send_again(campaign_id, DeliveryStatus.FAILED, now=now, actor=me)
    elif decision == "uncertain-again":
        if "sure" not in request.form:
            return _page(campaign_id, unsure=True), 422
        send_again(campaign_id, DeliveryStatus.UNCERTAIN, now=now, actor=me)
    elif decision == "uncertain-leave":
        leave_uncertain(campaign_id, now=now, actor=me)
    db.session.commit()
    return redirect(url_for(".undelivered", campaign_id=campaign_id), 303)


def _page(campaign_id: int, *, unsure: bool = False) -> str:
    campaign = get_campaign(campaign_id)
    after = request.args.get("after", 0, type=parse_id)
    page = page_of_undelivered(campaign_id, after=after, size=PAGE)
    counts = count_undelivered(campaign_id)
    last = page[-1].delivery.subscriber_id if len(page) == PAGE else None
    return render_template(
        "staff/undelivered.html",
        campaign=campaign,
        failed=counts[DeliveryStatus.FAILED],
        uncertain=counts[DeliveryStatus.UNCERTAIN],
        rows=[_row(item) for item in page],
        unsure=unsure,
        next_url=url_for(".undelivered", campaign_id=campaign_id, after=last) if last else None,
        first_url=url_for(".undelivered", campaign_id=campaign_id) if after else None,
    )


def _row(item: Undelivered) -> dict[str, Any]:
    delivery = item.delivery
    return {
        "masked": item.masked,
        "status": translate(STATUS_LABELS[delivery.status]),
        "status_code": delivery.status.value,
        "attempts": delivery.attempts,
        "reply_code": delivery.reply_code,
        "reply_text": delivery.reply_text,
    }
