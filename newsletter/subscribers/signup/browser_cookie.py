"""The one cookie of the public pages: it knows the browser that signed up.

Mail scanners follow links and some run scripts, so opening a confirmation link must not confirm.
The browser that signed up is no scanner: when the link comes back in it, with this cookie, one
click is enough. The cookie is sent to confirmation pages only and ends with the link.
"""

import secrets

from flask import request
from werkzeug import Response
from werkzeug.http import dump_cookie

from newsletter.subscribers.models import Signup
from newsletter.subscribers.signup.request import LINK_LASTS
from newsletter.web.signed_tokens import hash_secret

COOKIE = "signup"
PATH = "/confirm"


def make_browser_secret() -> tuple[str, str]:
    """Return a new value for the cookie and the hash of it that the signup keeps."""
    secret = secrets.token_urlsafe(18)
    return secret, hash_secret(secret.encode())


def remember_browser(response: Response, secret: str) -> Response:
    """Give the cookie to the browser. Every signup gets one, whatever its address is to us."""
    response.headers.add("Set-Cookie", cookie(secret, is_secure=request.is_secure))
    return response


def cookie(secret: str, *, is_secure: bool) -> str:
    """Return the header that gives the cookie."""
    return dump_cookie(
        COOKIE, secret, max_age=LINK_LASTS, path=PATH, secure=is_secure, httponly=True, samesite="Lax"
    )


def is_a_look() -> bool:
    """Tell whether a page was asked for to be seen: neither HEAD nor fetched ahead."""
    return request.method == "GET" and not any(
        "prefetch" in request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose")
    )


def is_the_browser_that_signed_up(signup: Signup) -> bool:
    """Tell whether this request is a person opening the link in the browser that signed up."""
    if not is_a_look():
        return False
    secret = request.cookies.get(COOKIE, "")
    return bool(secret) and hash_secret(secret.encode()) == signup.browser_hash
