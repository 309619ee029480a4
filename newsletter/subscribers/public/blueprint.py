"""Blueprint and common functions of the public subscriber pages."""

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


def current_visit(form_url: str | None = None) -> Visit:
    """Return the origin of this request for the evidence; ``form_url`` is the page with the form."""
    return visit_from(request, form_url)


def visit_from(asked: Request, form_url: str | None = None) -> Visit:
    """Return the same as ``current_visit`` for a request outside Flask."""
    page = _page_url(form_url or asked.referrer or "") or _request_page_url(
        asked.scheme, asked.host, asked.root_path + asked.path
    )
    return Visit(ip=client_ip(asked), user_agent=user_agent(asked), form_url=page)


@lru_cache(maxsize=100)
def _request_page_url(scheme: str, host: str, path: str) -> str | None:
    return _page_url(f"{scheme}://{host}{quote(path)}")


def _page_url(url: str) -> str | None:
    """Return an http(s) URL without user, query, fragment and token, at most 500 characters; else None."""
    try:
        page = urlsplit(url)
    except ValueError:
        return None
    host = page.netloc.rpartition("@")[2]
    if page.scheme not in {"http", "https"} or not host:
        return None
    return urlunsplit((page.scheme, host, _strip_token(page.path), "", ""))[:500]


def _strip_token(path: str) -> str:
    """Remove the token from a path of our own pages: it gives access to personal details."""
    first, _slash, token = path.removeprefix("/").partition("/")
    return f"/{first}" if token and first in {"confirm", "cancel", "unsubscribe", "preferences"} else path


def preferences_url(subscriber: Subscriber) -> str:
    return url_for("subscribers.preferences", token=links.PREFERENCES.make(subscriber.id), lang=language())


def not_subscribed_page() -> ResponseReturnValue:
    """Render the page for a genuine link of a person who is no longer known; not an error."""
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
