"""The person's own details. A GET changes nothing here."""

from collections.abc import Sequence

from flask import render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.subscribers import links
from newsletter.subscribers.addresses import mask
from newsletter.subscribers.consent.tracking import ALLOW, REFUSE, measured_states, question
from newsletter.subscribers.lists import all_lists, get_lists
from newsletter.subscribers.models import LinkPurpose, Subscriber
from newsletter.subscribers.one_time_links import send_link
from newsletter.subscribers.public.blueprint import bp, gone, visit
from newsletter.subscribers.self_service import unsubscribe
from newsletter.subscribers.self_service.preferences import Choice, save_choice
from newsletter.web.i18n import NATIVE_NAMES, language, supported_language

#: What the buttons of the own-details page ask for that goes through the mailbox first.
BY_LINK = {
    "address": LinkPurpose.ADDRESS,
    "copy": LinkPurpose.COPY,
    "erase": LinkPurpose.ERASURE,
}


@bp.get("/preferences/<token>")
def preferences(token: str) -> ResponseReturnValue:
    subscriber = unsubscribe.find_subscriber(*links.PREFERENCES.read(token))
    return _show_preferences(subscriber) if subscriber else gone()


@bp.post("/preferences/<token>")
def save_preferences(token: str) -> ResponseReturnValue:
    subscriber = unsubscribe.find_subscriber(*links.PREFERENCES.read(token), lock=True)
    if subscriber is None:
        return gone()
    if (purpose := BY_LINK.get(request.form.get("action", ""))) is not None:
        send_link(subscriber, purpose, now=utcnow())
        db.session.commit()
        return _show_preferences(subscriber, sent_link=True)
    choice = _read_choice(request.form)
    done = save_choice(subscriber, choice, language=language(), now=utcnow(), visit=visit())
    db.session.commit()
    return _show_preferences(
        subscriber,
        saved=True,
        pending_added=[item.name for item in done.asked],
        sent_link=done.waits_for_link,
    )


def _read_choice(posted: MultiDict[str, str]) -> Choice:
    if posted.get("action") == "leave":
        return Choice(lists=())
    tongue = posted.get("mail_language")
    return Choice(
        lists=tuple(get_lists(posted.getlist("lists"))),
        wants_tracking=_read_tracking(posted.get("tracking")),
        language=tongue if tongue in current_settings().languages else None,
    )


def _read_tracking(posted: str | None) -> bool | None:
    """Return what the box says, which allows or refuses by the mode in force."""
    asked = question(language())
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
        masked=mask(subscriber.address),
        lists=lists,
        tracking=question(language()),
        is_measured=subscriber.tracking in measured_states(),
        mail_language=supported_language(subscriber.language),
        mail_languages={code: NATIVE_NAMES[code] for code in current_settings().languages},
        saved=saved,
        pending_added=pending_added,
        sent_link=sent_link,
    )
