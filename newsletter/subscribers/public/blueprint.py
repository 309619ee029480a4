"""What the public pages of subscribers share: their blueprint, where a request came from, the way on."""

from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug import Request

from newsletter.subscribers import links
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.models import Subscriber
from newsletter.web.app import client_ip, message_page, user_agent
from newsletter.web.i18n import language

bp = Blueprint("subscribers", __name__)


def visit(form_url: str | None = None) -> Visit:
    """Return where this request came from, as the evidence wants it; the form's address if it is known."""
    return visit_of(request, form_url)


def visit_of(asked: Request, form_url: str | None = None) -> Visit:
    """Do as ``visit`` for a request that has not reached Flask."""
    page = _page(form_url or asked.referrer or "") or _page_of(
        asked.scheme, asked.host, asked.root_path + asked.path
    )
    return Visit(ip=client_ip(asked), user_agent=user_agent(asked), form_url=page)


@lru_cache(maxsize=100)
def _page_of(scheme: str, host: str, path: str) -> str | None:
    return _page(f"{scheme}://{host}{quote(path)}")


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


def preferences_url(subscriber: Subscriber) -> str:
    return url_for("subscribers.preferences", token=links.PREFERENCES.make(subscriber.id), lang=language())


def gone() -> ResponseReturnValue:
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
