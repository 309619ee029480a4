"""Public pages of the signup form, and the neutral page after it."""

from collections.abc import Sequence
from http import HTTPStatus

from flask import Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.subscribers.abuse import circuit_breaker, honeypot, proof_of_work
from newsletter.subscribers.consent.texts import get_consent_text
from newsletter.subscribers.consent.tracking import tracking_question
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import FunnelStep, MailingList, Purpose
from newsletter.subscribers.public.blueprint import bp, current_visit
from newsletter.subscribers.public.fast_path import REFUSAL_KEY
from newsletter.subscribers.signup import funnel
from newsletter.subscribers.signup import request as signup_request
from newsletter.subscribers.signup.browser_cookie import (
    is_user_navigation,
    make_browser_secret,
    set_browser_cookie,
)
from newsletter.subscribers.signup.form import FormState, empty_form, read_form
from newsletter.subscribers.signup.queue import HeldUp, enqueue_signup
from newsletter.subscribers.signup.request import SignupForm
from newsletter.web.app import embed_arguments, message_page
from newsletter.web.i18n import choose_language, language, translate


@bp.get("/")
def home() -> ResponseReturnValue:
    return redirect(url_for("subscribers.subscribe", lang=language()))


@bp.get("/subscribe")
def subscribe() -> ResponseReturnValue:
    offered = _offered_lists()
    if is_user_navigation():
        host = funnel.host_of_url(request.base_url)
        funnel.buffer_view(FunnelStep.SHOWN, offered, language=language(), form_host=host, now=utcnow())
    return _show_form(empty_form(offered))


@bp.post("/subscribe")
def sign_up() -> ResponseReturnValue:
    secret, browser_hash = make_browser_secret()
    tongue = choose_language()
    filled = read_form(request.form, tongue, browser_hash)
    if filled.request is None:
        return _show_form(filled), 422
    try:
        _enqueue_form(filled.request)
    except HeldUp as held_up:
        return _show_proof_of_work(filled, held_up.seconds)
    sent_url = url_for("subscribers.sent", lang=tongue, **embed_arguments())
    return set_browser_cookie(redirect(sent_url, 303), secret)


@bp.get("/subscribe/challenge")
def challenge() -> ResponseReturnValue:
    return proof_of_work.make_challenge(utcnow())


@bp.get("/subscribe/sent")
def sent() -> ResponseReturnValue:
    return message_page(
        _("Check your e-mail"),
        translate(signup_request.NEUTRAL_ANSWER),
        _("Did no mail come? Check the address and fill in the form again. We send it at most once a day."),
        actions=[
            {
                "label": _("Back to the form"),
                "url": url_for("subscribers.subscribe", lang=language(), **embed_arguments()),
            }
        ],
        tone="ok",
    )


def _enqueue_form(form: SignupForm) -> None:
    if (
        refusal := request.environ.get(REFUSAL_KEY)
    ) is not None:  # refused on the fast path, and counted there
        raise refusal
    enqueue_signup(
        form,
        now=utcnow(),
        visit=current_visit(),
        solution=request.form.get("altcha", ""),
        is_trapped=honeypot.is_automated(request.form, utcnow()),
    )


def _show_form(filled: FormState, busy_seconds: int | None = None) -> str:
    if busy_seconds is None and circuit_breaker.is_open():
        busy_seconds = circuit_breaker.retry_after_seconds(utcnow())
    return render_template(
        "public/subscribe.html",
        form=filled,
        lists=_offered_lists(),
        action=url_for(
            "subscribers.subscribe", **{"lists": request.args.getlist("lists")} | embed_arguments()
        ),
        consent_text=get_consent_text(Purpose.NEWSLETTER, language()),
        tracking=tracking_question(language()),
        shown=honeypot.make_shown_at_token(request.form, utcnow()),
        busy_minutes=-(-busy_seconds // 60) if busy_seconds is not None else None,
    )


def _show_proof_of_work(filled: FormState, seconds: int) -> Response:
    """Render the form with a proof-of-work challenge, keeping its input; without scripts, ask to wait."""
    response = make_response(_show_form(filled, seconds), HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(seconds)
    return response


def _offered_lists() -> Sequence[MailingList]:
    """Return the lists named in the query, else all."""
    named = request.args.getlist("lists")
    return [item for item in all_lists() if item.slug in named] or all_lists()
