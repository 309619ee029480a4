"""The links in our mails to a person, each signed for one purpose."""

from typing import Any

from flask import current_app

from newsletter.config import settings
from newsletter.tokens import SignedLink

#: 128 random bits and the second of signing up.
CONFIRM = SignedLink("confirm", "16sI")
#: Signup, subscriber.
CANCEL = SignedLink("cancel", "II")
#: Subscriber, list, campaign; campaign 0 is the activation mail.
UNSUBSCRIBE = SignedLink("unsubscribe", "III")
#: Subscriber.
PREFERENCES = SignedLink("preferences", "I")


def address_of(endpoint: str, token: str, language: str) -> str:
    """Return the full address of a token page, in the language of the mail it stands in."""
    return settings().base_url + path_of(endpoint, token=token, lang=language)


def path_of(endpoint: str, **values: Any) -> str:  # noqa: ANN401 - url_for's own
    """Return a page's path, also where there is no request (the worker, the console)."""
    return current_app.url_map.bind("").build(endpoint, values)
