"""The pages a visitor and a recipient see. A GET changes nothing here; a POST needs only its token."""

from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import begin_writing, db
from newsletter.i18n import language, translate
from newsletter.limits import limiter
from newsletter.subscribers import confirm as confirming
from newsletter.subscribers import links, signup, unsubscribe
from newsletter.subscribers.addresses import mask
from newsletter.subscribers.browser import (
    is_the_browser_that_signed_up,
    make_browser_secret,
    remember_browser,
)
from newsletter.subscribers.evidence import Visit
from newsletter.subscribers.forms import FilledForm, empty_form, read_form
from newsletter.subscribers.lists import all_lists, get_lists
from newsletter.subscribers.measuring import measured_states
from newsletter.subscribers.models import Purpose, Signup, Subscriber
from newsletter.subscribers.preferences import Choice, save_choice
from newsletter.subscribers.wordings import wording_text
from newsletter.web import client_ip, message_page, user_agent

bp = Blueprint("subscribers", __name__)


@bp.get("/")
def home() -> ResponseReturnValue:
    return redirect(url_for("subscribers.subscribe"))


@bp.get("/subscribe")
def subscribe() -> ResponseReturnValue:
    return _show_form(empty_form(all_lists()))


@bp.post("/subscribe")
@limiter.limit(
    lambda: settings().signup_limit_ip,
    deduct_when=lambda response: response.status_code == HTTPStatus.SEE_OTHER,
)
def sign_up() -> ResponseReturnValue:
    secret, browser_hash = make_browser_secret()
    filled = read_form(request.form, language(), browser_hash)
    if filled.request is None:
        return _show_form(filled), 422
    signup.request_subscription(filled.request, now=utcnow(), visit=visit())
    db.session.commit()
    return remember_browser(redirect(url_for("subscribers.sent", lang=language()), 303), secret)


@bp.get("/subscribe/sent")
def sent() -> ResponseReturnValue:
    return message_page(
        _("Check your e-mail"),
        _(
            "Thank you! If this address has no subscription yet, we sent it a confirmation mail."
            " The subscription begins only when you confirm it. Look in the spam folder too."
        ),
        tone="ok",
    )


@bp.get("/confirm/<token>")
def confirm(token: str) -> ResponseReturnValue:
    # A GET alone never confirms: mail scanners follow every link they see, and some run scripts.
    found = confirming.find_request(token, now=utcnow())
    if found.confirmed_at is not None:
        return _confirmed(confirming.confirmed_before(found))
    if is_the_browser_that_signed_up(found):
        begin_writing()
        return _confirm(token, method="browser", chosen=None)
    return _ask_to_confirm(found)


@bp.post("/confirm/<token>")
def do_confirm(token: str) -> ResponseReturnValue:
    # Without the form's own mark it is a press that leaves nothing out.
    chosen = request.form.getlist("lists") if "choosing" in request.form else None
    if chosen == []:
        found = confirming.find_request(token, now=utcnow())
        return _ask_to_confirm(found, error=translate(signup.ListMissing.message)), 422
    return _confirm(token, method="button", chosen=chosen)


@bp.get("/cancel/<token>")
def cancel(token: str) -> ResponseReturnValue:
    found, subscriber_id = confirming.find_cancellable(token)
    if found is None:
        return _gone()
    if found.confirmed_at is not None:
        way_out = links.UNSUBSCRIBE.make(subscriber_id, 0, 0)
        return redirect(url_for("subscribers.unsubscribe_page", token=way_out, lang=language()))
    return render_template("public/cancel.html", lists=[mailing_list.name for mailing_list in found.lists])


@bp.post("/cancel/<token>")
def do_cancel(token: str) -> ResponseReturnValue:
    found, subscriber_id = confirming.find_cancellable(token)
    if found is None:
        return _gone()
    if found.confirmed_at is not None:
        way_out = links.UNSUBSCRIBE.make(subscriber_id, 0, 0)
        return redirect(url_for("subscribers.unsubscribe_page", token=way_out, lang=language()), 303)
    confirming.cancel(found)
    db.session.commit()
    return message_page(
        _("The subscription has been cancelled"), _("Your request has been erased."), tone="ok"
    )


@bp.get("/unsubscribe/<token>")
def unsubscribe_page(token: str) -> ResponseReturnValue:
    subscriber_id, list_id, _campaign_id = unsubscribe.read_link(token)
    subscriber = unsubscribe.find_subscriber(subscriber_id)
    lists = unsubscribe.confirmed_lists(subscriber) if subscriber else []
    if subscriber is None or not lists:
        return _gone()
    this_list = next((item for item in lists if item.id == list_id), lists[0] if len(lists) == 1 else None)
    return render_template(
        "public/unsubscribe.html",
        list=this_list,
        other_lists=[item.name for item in lists if item is not this_list],
        masked=mask(subscriber.address),
        preferences_url=_preferences_url(subscriber),
    )


@bp.post("/unsubscribe/<token>")
def do_unsubscribe(token: str) -> ResponseReturnValue:
    subscriber_id, list_id, campaign_id = unsubscribe.read_link(token)
    subscriber = unsubscribe.find_subscriber(subscriber_id, lock=True)
    if subscriber is None:
        return _gone()
    if request.form.get("undo") == "yes":
        return _undo(subscriber)
    one_click = request.form.get("List-Unsubscribe") == "One-Click"
    everything = request.form.get("scope") == "all" or not list_id
    gone = unsubscribe.leave(
        subscriber,
        None if everything else [list_id],
        now=utcnow(),
        method="one-click" if one_click else "page",
        visit=visit(),
        campaign_id=campaign_id,
    )
    db.session.commit()
    return render_template(
        "public/unsubscribed.html",
        lists=[item.name for item in gone],
        undo={"lists": [item.slug for item in gone]},
        preferences_url=_preferences_url(subscriber),
    )


@bp.get("/preferences/<token>")
def preferences(token: str) -> ResponseReturnValue:
    subscriber = unsubscribe.find_subscriber(*links.PREFERENCES.read(token))
    return _show_preferences(subscriber) if subscriber else _gone()


@bp.post("/preferences/<token>")
def save_preferences(token: str) -> ResponseReturnValue:
    subscriber = unsubscribe.find_subscriber(*links.PREFERENCES.read(token), lock=True)
    if subscriber is None:
        return _gone()
    choice = _read_choice(request.form)
    asked = save_choice(subscriber, choice, language=language(), now=utcnow(), visit=visit())
    db.session.commit()
    return _show_preferences(subscriber, saved=True, pending_added=[item.name for item in asked])


def visit() -> Visit:
    """Return where this request came from, as the evidence wants it."""
    page = urlsplit(request.referrer or request.base_url)
    return Visit(
        ip=client_ip(),
        user_agent=user_agent(),
        form_url=urlunsplit((page.scheme, page.netloc, _without_token(page.path), "", ""))[:500],
    )


def _without_token(path: str) -> str:
    """Leave out the token of our own pages: it opens the person's details."""
    first, _slash, token = path.removeprefix("/").partition("/")
    return f"/{first}" if token and first in {"confirm", "cancel", "unsubscribe", "preferences"} else path


def _read_choice(posted: MultiDict[str, str]) -> Choice:
    if posted.get("action") == "leave":
        return Choice(lists=(), wants_tracking=None)
    tracking = posted.get("tracking") == "yes" if settings().tracking != "off" else None
    return Choice(lists=tuple(get_lists(posted.getlist("lists"))), wants_tracking=tracking)


def _confirm(token: str, *, method: str, chosen: list[str] | None) -> ResponseReturnValue:
    done = confirming.confirm(token, now=utcnow(), visit=visit(), method=method, chosen=chosen)
    db.session.commit()
    return _confirmed(done)


def _ask_to_confirm(found: Signup, *, error: str = "") -> str:
    return render_template(
        "public/confirm.html",
        lists=found.lists,
        error=error,
        expires_at=found.expires_at,
        cancel_url=url_for(
            "subscribers.cancel",
            token=links.CANCEL.make(found.id, found.subscriber_id),
            lang=language(),
        ),
    )


def _show_form(filled: FilledForm) -> str:
    return render_template(
        "public/subscribe.html",
        form=filled,
        lists=all_lists(),
        consent_text=wording_text(Purpose.NEWSLETTER, language()),
        tracking_text=wording_text(Purpose.TRACKING, language()),
        embedded=False,
    )


def _confirmed(done: confirming.Confirmation) -> str:
    way_out = links.UNSUBSCRIBE.make(done.subscriber.id, 0, 0)
    return render_template(
        "public/confirmed.html",
        lists=[item.name for item in done.lists],
        already=done.already,
        preferences_url=_preferences_url(done.subscriber),
        unsubscribe_url=url_for("subscribers.unsubscribe_page", token=way_out, lang=language()),
    )


def _undo(subscriber: Subscriber) -> ResponseReturnValue:
    lists = get_lists(request.form.getlist("lists"))
    back = unsubscribe.rejoin(subscriber, lists, language=language(), now=utcnow(), visit=visit())
    db.session.commit()
    return render_template(
        "public/undone.html",
        lists=[item.name for item in back],
        preferences_url=_preferences_url(subscriber),
    )


def _show_preferences(
    subscriber: Subscriber, *, saved: bool = False, pending_added: list[str] | None = None
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
        tracking=subscriber.tracking in measured_states(),
        tracking_available=settings().tracking != "off",
        tracking_text=wording_text(Purpose.TRACKING, language()),
        saved=saved,
        pending_added=pending_added or [],
    )


def _preferences_url(subscriber: Subscriber) -> str:
    return url_for("subscribers.preferences", token=links.PREFERENCES.make(subscriber.id), lang=language())


def _gone() -> ResponseReturnValue:
    """Answer a genuine link of someone who is no longer here: honest, and never an error."""
    return message_page(
        _("You are not on the list"),
        _("This address has no subscription with us, and nothing will be sent to it."),
        actions=[
            {
                "label": _("To the subscription page"),
                "url": url_for("subscribers.subscribe", lang=language()),
            }
        ],
        tone="info",
    )
