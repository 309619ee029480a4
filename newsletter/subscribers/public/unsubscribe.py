"""Public pages to unsubscribe and to undo it. A GET changes nothing; one-click is a POST (RFC 8058)."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.subscribers.addresses import mask_address
from newsletter.subscribers.public.blueprint import bp, current_visit, not_subscribed_page, preferences_url
from newsletter.subscribers.self_service import undo as undoing
from newsletter.subscribers.self_service import unsubscribe
from newsletter.web.i18n import language


@bp.get("/unsubscribe/<token>")
def unsubscribe_page(token: str) -> ResponseReturnValue:
    subscriber_id, list_id, campaign_id = unsubscribe.read_unsubscribe_token(token)
    subscriber = unsubscribe.find_subscriber(subscriber_id)
    lists = unsubscribe.confirmed_lists(subscriber) if subscriber else []
    if subscriber is None or not lists:
        return not_subscribed_page()
    these = unsubscribe.lists_of_token(subscriber, list_id, campaign_id)
    if not list_id and len(lists) == 1:
        these = lists
    return render_template(
        "public/unsubscribe.html",
        lists=[item.name for item in these],
        other_lists=[item.name for item in lists if item not in these],
        masked=mask_address(subscriber.address),
        preferences_url=preferences_url(subscriber),
    )


@bp.post("/unsubscribe/<token>")
def do_unsubscribe(token: str) -> ResponseReturnValue:
    subscriber_id, list_id, campaign_id = unsubscribe.read_unsubscribe_token(token)
    subscriber = unsubscribe.find_subscriber(subscriber_id, lock=True)
    if subscriber is None:
        return not_subscribed_page()
    one_click = request.form.get("List-Unsubscribe") == "One-Click"
    everything = request.form.get("scope") == "all" or not list_id
    these = None if everything else unsubscribe.lists_of_token(subscriber, list_id, campaign_id)
    now = utcnow()
    left = unsubscribe.unsubscribe_from(
        subscriber,
        None if these is None else [item.id for item in these],
        now=now,
        method="one-click" if one_click else "page",
        visit=current_visit(),
        campaign_id=campaign_id,
    )
    db.session.commit()
    return render_template(
        "public/unsubscribed.html",
        lists=[item.name for item in left],
        undo_url=url_for("subscribers.undo", token=undoing.make_undo_token(subscriber, now), lang=language()),
        preferences_url=preferences_url(subscriber),
    )


@bp.get("/unsubscribe/undo/<token>")
def undo(token: str) -> ResponseReturnValue:
    subscriber_id, left_at = undoing.read_undo_token(token, now=utcnow())
    subscriber = unsubscribe.find_subscriber(subscriber_id)
    if subscriber is None:
        return not_subscribed_page()
    lists = undoing.lists_left_at(subscriber, left_at)
    return render_template("public/undo.html", lists=[item.name for item in lists])


@bp.post("/unsubscribe/undo/<token>")
def do_undo(token: str) -> ResponseReturnValue:
    subscriber_id, left_at = undoing.read_undo_token(token, now=utcnow())
    subscriber = unsubscribe.find_subscriber(subscriber_id, lock=True)
    if subscriber is None:
        return not_subscribed_page()
    back = undoing.undo_unsubscribe(
        subscriber, left_at, language=language(), now=utcnow(), visit=current_visit()
    )
    db.session.commit()
    return render_template(
        "public/undone.html",
        lists=[item.name for item in back],
        preferences_url=preferences_url(subscriber),
    )
