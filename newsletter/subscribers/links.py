"""Signed links in mails to subscribers, one purpose each."""

from typing import Any

from flask import current_app
from werkzeug.routing import MapAdapter

from newsletter.config import current_settings
from newsletter.web.signed_tokens import SignedLink

#: 128 random bits; time of the signup in epoch seconds.
CONFIRM = SignedLink("confirm", "16sI")
#: Signup id, subscriber id.
CANCEL = SignedLink("cancel", "II")
#: Subscriber id, list id (0 for all), campaign id (0 for the activation mail).
UNSUBSCRIBE = SignedLink("unsubscribe", "III")
#: Subscriber id.
PREFERENCES = SignedLink("preferences", "I")

#: Subscriber id; time of the unsubscribe to be undone in epoch seconds.
UNDO = SignedLink("undo", "II")
#: 128 random bits; the purpose is in its row (OneTimeLink).
ONE_TIME = SignedLink("fresh", "16s")


_PLACEHOLDER = "token-goes-here"


def token_url(endpoint: str, token: str, language: str) -> str:
    """Return the absolute URL of a token page, in the language of the mail."""
    patterns: dict[tuple[str, str], str] = current_app.extensions.setdefault("newsletter.link_patterns", {})
    if (endpoint, language) not in patterns:
        # A token needs no quoting; building a path each time would cost more than making the token.
        patterns[endpoint, language] = build_path(endpoint, token=_PLACEHOLDER, lang=language)
    return current_settings().base_url + patterns[endpoint, language].replace(_PLACEHOLDER, token)


def build_path(endpoint: str, **values: Any) -> str:  # noqa: ANN401 - url_for's own
    """Return the path of an endpoint, also outside a request (worker, command line)."""
    kept: dict[str, MapAdapter] = current_app.extensions
    if "newsletter.paths" not in kept:
        kept["newsletter.paths"] = current_app.url_map.bind("")
    return kept["newsletter.paths"].build(endpoint, values)
