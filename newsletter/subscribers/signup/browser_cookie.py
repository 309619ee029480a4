"""Cookie of the browser that signed up, and the test whether a request is a navigation by a person.

Mail scanners follow links and some run scripts, so opening a confirmation link must not confirm by
itself. A request with this cookie comes from the browser that signed up, so it may confirm at once. The
cookie is sent to the confirmation pages only and expires with the link.
"""

import secrets

from flask import request
from werkzeug import Response
from werkzeug.http import dump_cookie

from newsletter.subscribers.models import Signup
from newsletter.subscribers.signup.request import LINK_LIFETIME
from newsletter.web.signed_tokens import hash_secret

COOKIE_NAME = "signup"
COOKIE_PATH = "/confirm"


def make_browser_secret() -> tuple[str, str]:
    """Return a new cookie value and its hash, which the signup stores."""
    secret = secrets.token_urlsafe(18)
    return secret, hash_secret(secret.encode())


def set_browser_cookie(response: Response, secret: str) -> Response:
    """Set the cookie on the response. Every signup gets one, whether or not its address is known."""
    response.headers.add("Set-Cookie", cookie_header(secret, is_secure=request.is_secure))
    return response


def cookie_header(secret: str, *, is_secure: bool) -> str:
    """Return the value of the Set-Cookie header."""
    return dump_cookie(
        COOKIE_NAME,
        secret,
        max_age=LINK_LIFETIME,
        path=COOKIE_PATH,
        secure=is_secure,
        httponly=True,
        samesite="Lax",
    )


def is_user_navigation() -> bool:
    """Return whether a person navigated to the page: a GET that is no prefetch (Sec-Purpose, Purpose)."""
    return request.method == "GET" and not any(
        "prefetch" in request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose")
    )


def is_signup_browser(signup: Signup) -> bool:
    """Return whether this is a navigation in the browser that made the signup."""
    if not is_user_navigation():
        return False
    secret = request.cookies.get(COOKIE_NAME, "")
    return bool(secret) and hash_secret(secret.encode()) == signup.browser_hash
