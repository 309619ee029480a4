"""The signup form, and the neutral page after it."""

from collections.abc import Sequence
from http import HTTPStatus

from flask import Response, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.subscribers.abuse import circuit_breaker, honeypot, proof_of_work
from newsletter.subscribers.consent.texts import wording_text
from newsletter.subscribers.consent.tracking import question
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import FunnelStep, MailingList, Purpose
from newsletter.subscribers.public.blueprint import bp, visit
from newsletter.subscribers.public.fast_path import REFUSAL
from newsletter.subscribers.signup import funnel
from newsletter.subscribers.signup import request as signup_request
from newsletter.subscribers.signup.browser_cookie import is_a_look, make_browser_secret, remember_browser
from newsletter.subscribers.signup.form import FilledForm, empty_form, read_form
from newsletter.subscribers.signup.queue import HeldUp, take_in
from newsletter.subscribers.signup.request import SignupForm
from newsletter.web.app import embed_arguments, message_page
from newsletter.web.i18n import choose_language, language, translate


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
    sent_url = url_for("subscribers.sent", lang=tongue, **embed_arguments())
    return remember_browser(redirect(sent_url, 303), secret)


@bp.get("/subscribe/challenge")
def challenge() -> ResponseReturnValue:
    return proof_of_work.make_challenge(utcnow())


@bp.get("/subscribe/sent")
def sent() -> ResponseReturnValue:
    return message_page(
        _("Check your e-mail"),
        translate(signup_request.ANSWER),
        _("Did no mail come? Check the address and fill in the form again. We send it at most once a day."),
        actions=[
            {
                "label": _("Back to the form"),
                "url": url_for("subscribers.subscribe", lang=language(), **embed_arguments()),
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
        is_trapped=honeypot.is_caught(request.form, utcnow()),
    )


def _show_form(filled: FilledForm) -> str:
    return render_template(
        "public/subscribe.html",
        form=filled,
        lists=_offered(),
        action=url_for(
            "subscribers.subscribe", **{"lists": request.args.getlist("lists")} | embed_arguments()
        ),
        consent_text=wording_text(Purpose.NEWSLETTER, language()),
        tracking=question(language()),
        shown=honeypot.stamp(request.form, utcnow()),
        busy_minutes=-(-circuit_breaker.seconds_left(utcnow()) // 60) if circuit_breaker.is_open() else None,
    )


def _show_busy(filled: FilledForm) -> Response:
    """Ask for a proof of work, or for patience where no script runs; what was filled in stays."""
    response = make_response(_show_form(filled), HTTPStatus.TOO_MANY_REQUESTS)
    response.headers["Retry-After"] = str(circuit_breaker.seconds_left(utcnow()))
    return response


def _offered() -> Sequence[MailingList]:
    """Return the lists that the form's own address names, else all of them."""
    named = request.args.getlist("lists")
    return [item for item in all_lists() if item.slug in named] or all_lists()
