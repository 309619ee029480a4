"""Responses that show a newsletter in an iframe of the staff pages or as a public page, without scripts."""

import re

from flask import Response

from newsletter.campaigns.content.compose import (
    PIXEL_PLACEHOLDER,
    PREFERENCES_PLACEHOLDER,
    UNSUBSCRIBE_PLACEHOLDER,
)

#: The mail may use its own styles and pictures, never scripts. It is same-origin, so that the page around
#: it can keep the scroll position, and may open links in a new window.
_PREVIEW_CSP = (
    "sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox; default-src 'none';"
    " style-src 'unsafe-inline'; img-src 'self' https: http: data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'"
)
#: Public page: no frames, scripts, forms or tracking pixel.
_ARCHIVE_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' https: http: data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_PIXEL_TAG = re.compile(rf"<img[^>]*{re.escape(PIXEL_PLACEHOLDER)}[^>]*>")


def preview_response(part: str, kind: str) -> Response:
    """Return the response with a part of a mail for the preview frame."""
    shown = _PIXEL_TAG.sub("", part).replace("<head>", '<head><base target="_blank">', 1)
    for mark in (UNSUBSCRIBE_PLACEHOLDER, PREFERENCES_PLACEHOLDER):
        # In text the placeholder is shown; in HTML its link leads nowhere.
        shown = shown.replace(f'href="{mark}"', 'href="#"').replace(mark, "https://…")
    response = Response(shown, mimetype=kind)
    response.headers["Content-Security-Policy"] = _PREVIEW_CSP
    return response


def archive_response(page: str) -> Response:
    """Return the response with a public newsletter page."""
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _ARCHIVE_CSP
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
