"""The pages a visitor and a recipient see. A GET changes nothing here; a POST needs only its token."""

from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit, urlunsplit

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import begin_writing, db
from newsletter.i18n import NATIVE_NAMES, language, spoken, translate
from newsletter.limits import limiter
from newsletter.subscribers import breaker, funnel, links, proof_of_work, signup, trap, unsubscribe
from newsletter.subscribers import confirm as confirming
from newsletter.subscribers import undo as undoing
from newsletter.subscribers.addresses import mask
from newsletter.subscribers.browser import (
    is_a_look,
    is_the_browser_that_signed_up,
    make_browser_secret,
    remember_browser,
)
from newsletter.subscribers.evidence import Visit
from newsletter.subscribers.forms import FilledForm, empty_form, read_form
from newsletter.subscribers.fresh_links import send_link
from newsletter.subscribers.lists import all_lists, get_lists
from newsletter.subscribers.measuring import measured_states
from newsletter.subscribers.models import FunnelStep, LinkPurpose, MailingList, Purpose, Signup, Subscriber
from newsletter.subscribers.preferences import Choice, save_choice
from newsletter.subscribers.wordings import wording_text
from newsletter.web import client_ip, embedding, message_page, user_agent

bp = Blueprint("subscribers", __name__)

#: The form and the API count together; a form with a fault counts for nothing.
limited = limiter.shared_limit(
    lambda: settings().signup_limit_ip,
    scope="signup",
    deduct_when=lambda response: response.status_code in {HTTPStatus.SEE_OTHER, HTTPStatus.ACCEPTED},
)

#: What the buttons of the own-details page ask for that goes through the mailbox first.
BY_LINK = {
    "address": LinkPurpose.ADDRESS,
    "copy": LinkPurpose.COPY,
    "erase": LinkPurpose.ERASURE,
}


@bp.get("/")
def home() -> ResponseReturnValue:
    return redirect(url_for("subscribers.subscribe", lang=language()))


@bp.get("/subscribe")
def subscribe() -> ResponseReturnValue:
    offered = _offered()
    if is_a_look():
        host = funnel.host_of(request.base_url)
        funnel.note(FunnelStep.SHOWN, offered, language=language(), form_host=host, now=utcnow())
    return _show_form(empty_form(offered))


@bp.post("/subscribe")
@limited
def sign_up() -> ResponseReturnValue:
    secret, browser_hash = make_browser_secret()
    filled = read_form(request.form, language(), browser_hash)
    if filled.request is None:
        return _show_form(filled), 422
    if not trap.is_caught(request.form, utcnow()):
        if not breaker.lets_in(request.form.get("altcha", ""), now=utcnow()):
            db.session.commit()  # the alert
            return _show_busy(filled)
        signup.request_subscription(filled.request, now=utcnow(), visit=visit())
        db.session.commit()
    sent_url = url_for("subscribers.sent", lang=language(), **embedding())
    return remember_browser(redirect(sent_url, 303), secret)


@bp.get("/subscribe/challenge")
def challenge() -> ResponseReturnValue:
    return proof_of_work.make_challenge(utcnow())


@bp.get("/subscribe/sent")
def sent() -> ResponseReturnValue:
    return message_page(
        _("Check your e-mail"),
        translate(signup.ANSWER),
        _("Did no mail come? Check the address and fill in the form again. We send it at most once a day."),
        actions=[
            {
                "label": _("Back to the form"),
                "url": url_for("subscribers.subscribe", lang=language(), **embedding()),
            }
        ],
        tone="ok",
    )


@bp.get("/confirm/<token>")
def confirm(token: str) -> ResponseReturnValue:
    # A GET alone never confirms: mail scanners follow every link they see, and some run scripts.
    found = confirming.find_request(token, now=utcnow())
    if found.confirmed_at is not None:
        return _confirmed(confirming.confirmed_before(found))
    if is_a_look():
        funnel.note_opened(found, now=utcnow())
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
        if found.confirmed_at is not None:
            return _confirmed(confirming.confirmed_before(found))
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
    return render_template(
        "public/cancel.html",
        lists=[mailing_list.name for mailing_list in found.lists],
        may_block=confirming.may_disown(found),
    )


@bp.post("/cancel/<token>")
def do_cancel(token: str) -> ResponseReturnValue:
    found, subscriber_id = confirming.find_cancellable(token)
    if found is None:
        return _gone()
    if found.confirmed_at is not None:
        way_out = links.UNSUBSCRIBE.make(subscriber_id, 0, 0)
        return redirect(url_for("subscribers.unsubscribe_page", token=way_out, lang=language()), 303)
    blocked = request.form.get("block") == "yes" and confirming.may_disown(found)
    if blocked:
        confirming.disown(found, now=utcnow())
    else:
        confirming.cancel(found)
    db.session.commit()
    said = [_("The request has been erased.")]
    if blocked:
        said += [
            _("This address is blocked now: nobody can have a confirmation mail sent to it."),
            _("Did you change your mind? We can lift the block when you contact us."),
        ]
    return message_page(_("The subscription has been cancelled"), *said, tone="ok")


@bp.get("/unsubscribe/<token>")
def unsubscribe_page(token: str) -> ResponseReturnValue:
    subscriber_id, list_id, campaign_id = unsubscribe.read_link(token)
    subscriber = unsubscribe.find_subscriber(subscriber_id)
    lists = unsubscribe.confirmed_lists(subscriber) if subscriber else []
    if subscriber is None or not lists:
        return _gone()
    these = unsubscribe.lists_of_link(subscriber, list_id, campaign_id)
    if not list_id and len(lists) == 1:
        these = lists
    return render_template(
        "public/unsubscribe.html",
        lists=[item.name for item in these],
        other_lists=[item.name for item in lists if item not in these],
        masked=mask(subscriber.address),
        preferences_url=preferences_url(subscriber),
    )


@bp.post("/unsubscribe/<token>")
def do_unsubscribe(token: str) -> ResponseReturnValue:
    subscriber_id, list_id, campaign_id = unsubscribe.read_link(token)
    subscriber = unsubscribe.find_subscriber(subscriber_id, lock=True)
    if subscriber is None:
        return _gone()
    one_click = request.form.get("List-Unsubscribe") == "One-Click"
    everything = request.form.get("scope") == "all" or not list_id
    these = None if everything else unsubscribe.lists_of_link(subscriber, list_id, campaign_id)
    now = utcnow()
    left = unsubscribe.leave(
        subscriber,
        None if these is None else [item.id for item in these],
        now=now,
        method="one-click" if one_click else "page",
        visit=visit(),
        campaign_id=campaign_id,
    )
    db.session.commit()
    return render_template(
        "public/unsubscribed.html",
        lists=[item.name for item in left],
        undo_url=url_for("subscribers.undo", token=undoing.make_undo(subscriber, now), lang=language()),
        preferences_url=preferences_url(subscriber),
    )


@bp.get("/unsubscribe/undo/<token>")
def undo(token: str) -> ResponseReturnValue:
    subscriber_id, left_at = undoing.read_undo(token, now=utcnow())
    subscriber = unsubscribe.find_subscriber(subscriber_id)
    if subscriber is None:
        return _gone()
    lists = undoing.lists_left_at(subscriber, left_at)
    return render_template("public/undo.html", lists=[item.name for item in lists])


@bp.post("/unsubscribe/undo/<token>")
def do_undo(token: str) -> ResponseReturnValue:
    subscriber_id, left_at = undoing.read_undo(token, now=utcnow())
    subscriber = unsubscribe.find_subscriber(subscriber_id, lock=True)
    if subscriber is None:
        return _gone()
    back = undoing.rejoin(subscriber, left_at, language=language(), now=utcnow(), visit=visit())
    db.session.commit()
    return render_template(
        "public/undone.html",
        lists=[item.name for item in back],
        preferences_url=preferences_url(subscriber),
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


def visit(form_url: str | None = None) -> Visit:
    """Return where this request came from, as the evidence wants it; the form's address if it is known."""
    page = _page(form_url or request.referrer or "") or _page(request.base_url)
    return Visit(ip=client_ip(), user_agent=user_agent(), form_url=page)


def _page(url: str) -> str | None:
    """Return the address of a page without query and fragment; None for what is no such address."""
    try:
        page = urlsplit(url)
    except ValueError:
        return None
    host = page.netloc.rpartition("@")[2]
    if page.scheme not in {"http", "https"} or not host:
        return None
    return urlunsplit((page.scheme, host, _without_token(page.path), "", ""))[:500]


def _without_token(path: str) -> str:
    """Leave out the token of our own pages: it opens the person's details."""
    first, _slash, token = path.removeprefix("/").partition("/")
    return f"/{first}" if token and first in {"confirm", "cancel", "unsubscribe", "preferences"} else path


def _read_choice(posted: MultiDict[str, str]) -> Choice:
    if posted.get("action") == "leave":
        return Choice(lists=())
    tracking = posted.get("tracking") == "yes" if settings().tracking != "off" else None
    tongue = posted.get("mail_language")
    return Choice(
        lists=tuple(get_lists(posted.getlist("lists"))),
        wants_tracking=tracking,
        language=tongue if tongue in settings().languages else None,
    )


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
        lists=_offered(),
        action=url_for("subscribers.subscribe", **{"lists": request.args.getlist("lists")} | embedding()),
        consent_text=wording_text(Purpose.NEWSLETTER, language()),
        tracking_text=wording_text(Purpose.TRACKING, language()) if settings().tracking != "off" else "",
        shown=trap.stamp(request.form, utcnow()),
        busy_minutes=-(-breaker.seconds_left(utcnow()) // 60) if breaker.is_open() else None,
    )


def _show_busy(filled: FilledForm) -> Response:
    """Ask for a proof of work, or for patience where no script runs; what was filled in stays."""
    response = make_response(_show_form(filled), HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(breaker.seconds_left(utcnow()))
    return response


def _offered() -> Sequence[MailingList]:
    """Return the lists that the form's own address names, else all of them."""
    named = request.args.getlist("lists")
    return [item for item in all_lists() if item.slug in named] or all_lists()


def _confirmed(done: confirming.Confirmation) -> str:
    way_out = links.UNSUBSCRIBE.make(done.subscriber.id, 0, 0)
    return render_template(
        "public/confirmed.html",
        lists=[item.name for item in done.lists],
        already=done.already,
        preferences_url=preferences_url(done.subscriber),
        unsubscribe_url=url_for("subscribers.unsubscribe_page", token=way_out, lang=language()),
    )


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
        tracking=subscriber.tracking in measured_states(),
        tracking_available=settings().tracking != "off",
        tracking_text=wording_text(Purpose.TRACKING, language()),
        mail_language=spoken(subscriber.language),
        mail_languages={code: NATIVE_NAMES[code] for code in settings().languages},
        saved=saved,
        pending_added=pending_added,
        sent_link=sent_link,
    )


def preferences_url(subscriber: Subscriber) -> str:
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
