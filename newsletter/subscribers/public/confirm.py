"""Public pages that confirm or cancel a signup. A GET changes nothing, except in the signup browser."""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.db import db, restart_for_writing
from newsletter.subscribers import links
from newsletter.subscribers.models import Signup
from newsletter.subscribers.public.blueprint import bp, current_visit, not_subscribed_page, preferences_url
from newsletter.subscribers.signup import confirm as confirming
from newsletter.subscribers.signup import funnel
from newsletter.subscribers.signup import request as signup_request
from newsletter.subscribers.signup.browser_cookie import is_signup_browser, is_user_navigation
from newsletter.web.app import message_page
from newsletter.web.i18n import language, translate


@bp.get("/confirm/<token>")
def confirm(token: str) -> ResponseReturnValue:
    # A GET alone never confirms: mail scanners follow every link they see, and some run scripts.
    found = confirming.find_signup(token, now=utcnow())
    if found.confirmed_at is not None:
        return _confirmed_page(confirming.get_earlier_confirmation(found))
    if is_user_navigation():
        funnel.buffer_page_opened(found, now=utcnow())
    if is_signup_browser(found):
        restart_for_writing()
        return _confirm(token, method="browser", chosen=None)
    return _confirmation_page(found)


@bp.post("/confirm/<token>")
def do_confirm(token: str) -> ResponseReturnValue:
    # Without the hidden field of our form, all lists are confirmed.
    chosen = request.form.getlist("lists") if "choosing" in request.form else None
    if chosen == []:
        found = confirming.find_signup(token, now=utcnow())
        if found.confirmed_at is not None:
            return _confirmed_page(confirming.get_earlier_confirmation(found))
        return _confirmation_page(found, error=translate(signup_request.ListMissing.message)), 422
    return _confirm(token, method="button", chosen=chosen)


@bp.get("/cancel/<token>")
def cancel(token: str) -> ResponseReturnValue:
    found, subscriber_id = confirming.find_signup_to_cancel(token)
    if found is None:
        return not_subscribed_page()
    if found.confirmed_at is not None:
        unsubscribe_token = links.UNSUBSCRIBE.make(subscriber_id, 0, 0)
        return redirect(url_for("subscribers.unsubscribe_page", token=unsubscribe_token, lang=language()))
    return render_template(
        "public/cancel.html",
        lists=[mailing_list.name for mailing_list in found.lists],
        may_block=confirming.may_suppress_unrequested(found),
    )


@bp.post("/cancel/<token>")
def do_cancel(token: str) -> ResponseReturnValue:
    found, subscriber_id = confirming.find_signup_to_cancel(token)
    if found is None:
        return not_subscribed_page()
    if found.confirmed_at is not None:
        unsubscribe_token = links.UNSUBSCRIBE.make(subscriber_id, 0, 0)
        return redirect(
            url_for("subscribers.unsubscribe_page", token=unsubscribe_token, lang=language()), 303
        )
    blocked = request.form.get("block") == "yes" and confirming.may_suppress_unrequested(found)
    if blocked:
        confirming.suppress_unrequested(found, now=utcnow())
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


def _confirm(token: str, *, method: str, chosen: list[str] | None) -> ResponseReturnValue:
    done = confirming.confirm(token, now=utcnow(), visit=current_visit(), method=method, chosen=chosen)
    db.session.commit()
    return _confirmed_page(done)


def _confirmation_page(found: Signup, *, error: str = "") -> str:
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


def _confirmed_page(done: confirming.Confirmation) -> str:
    unsubscribe_token = links.UNSUBSCRIBE.make(done.subscriber.id, 0, 0)
    return render_template(
        "public/confirmed.html",
        lists=[item.name for item in done.lists],
        already=done.already,
        preferences_url=preferences_url(done.subscriber),
        unsubscribe_url=url_for("subscribers.unsubscribe_page", token=unsubscribe_token, lang=language()),
    )
