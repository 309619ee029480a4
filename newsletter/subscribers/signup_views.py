"""The signup form, and the neutral page after it."""

from collections.abc import Sequence
from http import HTTPStatus

from flask import Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.i18n import choose_language, language, translate
from newsletter.subscribers import breaker, funnel, proof_of_work, signup, trap
from newsletter.subscribers.browser import (
    is_a_look,
    make_browser_secret,
    remember_browser,
)
from newsletter.subscribers.forms import FilledForm, empty_form, read_form
from newsletter.subscribers.intake import HeldUp, take_in
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import FunnelStep, MailingList, Purpose
from newsletter.subscribers.pages import bp, visit
from newsletter.subscribers.signup import SignupForm
from newsletter.subscribers.signup_lane import REFUSAL
from newsletter.subscribers.wordings import wording_text
from newsletter.web import embedding, message_page


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
def sign_up() -> ResponseReturnValue:
    secret, browser_hash = make_browser_secret()
    tongue = choose_language()
    filled = read_form(request.form, tongue, browser_hash)
    if filled.request is None:
        return _show_form(filled), 422
    try:
        _let_in(filled.request)
    except HeldUp:
        return _show_busy(filled)
    sent_url = url_for("subscribers.sent", lang=tongue, **embedding())
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


def _let_in(form: SignupForm) -> None:
    if (refusal := request.environ.get(REFUSAL)) is not None:  # counted already
        raise refusal
    take_in(
        form,
        now=utcnow(),
        visit=visit(),
        solution=request.form.get("altcha", ""),
        is_trapped=trap.is_caught(request.form, utcnow()),
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
