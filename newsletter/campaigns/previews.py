"""A newsletter shown inside our pages, or as a page of its own: with its styles, and nothing that runs."""

import re

from flask import Response

from newsletter.campaigns.compose import PIXEL_MARK, PREFERENCES_MARK, UNSUBSCRIBE_MARK

#: A mail brings its own styles and pictures, but never scripts. Its page may ask our own page around
#: it to keep its place (same origin), and open links in a new window.
_IN_FRAME = (
    "sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox; default-src 'none';"
    " style-src 'unsafe-inline'; img-src 'self' https: http: data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'"
)
#: To everybody: no frame, no script, no form, and no picture of ours that counts.
_ALONE = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' https: http: data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_PIXEL = re.compile(rf"<img[^>]*{re.escape(PIXEL_MARK)}[^>]*>")


def as_page(part: str, kind: str) -> Response:
    """Answer with a part of a mail, to be shown in a frame of the staff pages."""
    shown = _PIXEL.sub("", part).replace("<head>", '<head><base target="_blank">', 1)
    for mark in (UNSUBSCRIBE_MARK, PREFERENCES_MARK):
        # In the text the place is shown, in the HTML it leads nowhere.
        shown = shown.replace(f'href="{mark}"', 'href="#"').replace(mark, "https://…")
    response = Response(shown, mimetype=kind)
    response.headers["Content-Security-Policy"] = _IN_FRAME
    return response


def as_archived(page: str) -> Response:
    """Answer with a newsletter for everybody."""
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _ALONE
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
