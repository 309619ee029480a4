"""Public page of a subscriber's own details. A GET changes nothing."""

from collections.abc import Sequence

from flask import render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.subscribers import links
from newsletter.subscribers.addresses import mask_address
from newsletter.subscribers.consent.tracking import ALLOW, REFUSE, states_allowing_tracking, tracking_question
from newsletter.subscribers.lists import all_lists, get_lists
from newsletter.subscribers.models import LinkPurpose, Subscriber
from newsletter.subscribers.one_time_links import send_link
from newsletter.subscribers.public.blueprint import bp, current_visit, not_subscribed_page
from newsletter.subscribers.self_service import unsubscribe
from newsletter.subscribers.self_service.preferences import PreferenceChoice, apply_choice
from newsletter.web.i18n import NATIVE_NAMES, language, supported_language

#: Actions of the page that need a one-time link first.
ONE_TIME_LINK_ACTIONS = {
    "address": LinkPurpose.ADDRESS,
    "copy": LinkPurpose.COPY,
    "erase": LinkPurpose.ERASURE,
}


@bp.get("/preferences/<token>")
def preferences(token: str) -> ResponseReturnValue:
    subscriber = unsubscribe.find_subscriber(*links.PREFERENCES.read(token))
    return _show_preferences(subscriber) if subscriber else not_subscribed_page()


@bp.post("/preferences/<token>")
def save_preferences(token: str) -> ResponseReturnValue:
    subscriber = unsubscribe.find_subscriber(*links.PREFERENCES.read(token), lock=True)
    if subscriber is None:
        return not_subscribed_page()
    if (purpose := ONE_TIME_LINK_ACTIONS.get(request.form.get("action", ""))) is not None:
        send_link(subscriber, purpose, now=utcnow())
        db.session.commit()
        return _show_preferences(subscriber, sent_link=True)
    choice = _parse_choice(request.form)
    done = apply_choice(subscriber, choice, language=language(), now=utcnow(), visit=current_visit())
    db.session.commit()
    return _show_preferences(
        subscriber,
        saved=True,
        pending_added=[item.name for item in done.asked],
        sent_link=done.waits_for_link,
    )


def _parse_choice(posted: MultiDict[str, str]) -> PreferenceChoice:
    if posted.get("action") == "leave":
        return PreferenceChoice(lists=())
    tongue = posted.get("mail_language")
    return PreferenceChoice(
        lists=tuple(get_lists(posted.getlist("lists"))),
        wants_tracking=_parse_tracking(posted.get("tracking")),
        language=tongue if tongue in current_settings().languages else None,
    )


def _parse_tracking(posted: str | None) -> bool | None:
    """Return what the box says, which allows or refuses by the mode in force."""
    asked = tracking_question(language())
    if asked is None:
        return None
    return posted == ALLOW if asked.value == ALLOW else posted != REFUSE


def _show_preferences(
    subscriber: Subscriber,
    *,
    saved: bool = False,
    pending_added: Sequence[str] = (),
    sent_link: bool = False,
) -> str:
    status = {item.list_id: item.status for item in subscriber.subscriptions}
    lists = [
        {
            "slug": item.slug,
            "name": item.name,
            "language": item.language,
            "topics": item.topics,
            "frequency": item.frequency,
            "status": status[item.id].value if item.id in status else None,
        }
        for item in all_lists()
    ]
    return render_template(
        "public/preferences.html",
        masked=mask_address(subscriber.address),
        lists=lists,
        tracking=tracking_question(language()),
        is_measured=subscriber.tracking in states_allowing_tracking(),
        mail_language=supported_language(subscriber.language),
        mail_languages={code: NATIVE_NAMES[code] for code in current_settings().languages},
        saved=saved,
        pending_added=pending_added,
        sent_link=sent_link,
    )
