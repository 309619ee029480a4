"""The links in our mails to a person, each signed for one purpose."""

from typing import Any

from flask import current_app
from werkzeug.routing import MapAdapter

from newsletter.config import current_settings
from newsletter.web.signed_tokens import SignedLink

#: 128 random bits and the second of signing up.
CONFIRM = SignedLink("confirm", "16sI")
#: Signup, subscriber.
CANCEL = SignedLink("cancel", "II")
#: Subscriber, list, campaign; campaign 0 is the activation mail.
UNSUBSCRIBE = SignedLink("unsubscribe", "III")
#: Subscriber.
PREFERENCES = SignedLink("preferences", "I")

#: Subscriber, and the second of the leaving that it takes back.
UNDO = SignedLink("undo", "II")
#: 128 random bits; what it is for stands in its row.
FRESH = SignedLink("fresh", "16s")


_HERE = "token-goes-here"


def address_of(endpoint: str, token: str, language: str) -> str:
    """Return the full address of a token page, in the language of the mail it stands in."""
    patterns: dict[tuple[str, str], str] = current_app.extensions.setdefault("newsletter.link_patterns", {})
    if (endpoint, language) not in patterns:
        # A token needs no quoting, and building a path anew would cost more than making the token.
        patterns[endpoint, language] = path_of(endpoint, token=_HERE, lang=language)
    return current_settings().base_url + patterns[endpoint, language].replace(_HERE, token)


def path_of(endpoint: str, **values: Any) -> str:  # noqa: ANN401 - url_for's own
    """Return a page's path, also where there is no request (the worker, the console)."""
    kept: dict[str, MapAdapter] = current_app.extensions
    if "newsletter.paths" not in kept:
        kept["newsletter.paths"] = current_app.url_map.bind("")
    return kept["newsletter.paths"].build(endpoint, values)
