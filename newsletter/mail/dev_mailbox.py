"""The built-in mailbox of development and trials: pages that show a Maildir.

It exists only while no mail server is set, and only on a loopback address, because it shows every
mail with its links.
"""

import email
import email.policy
import mailbox
import re
from datetime import datetime
from email.message import EmailMessage
from typing import Any, cast

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup, escape

from newsletter.config import current_settings
from newsletter.config.parsers import is_loopback
from newsletter.mail.backends import mailbox_folder

bp = Blueprint("mailbox", __name__, url_prefix="/mailbox")

MAX_SHOWN = 200
#: Seconds and microseconds, as Maildir names its files.
_ARRIVAL = re.compile(r"(\d+)\.M(\d+)")
_LINK = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:!?)]")


@bp.before_request
def require_loopback() -> None:
    """Answer 404 unless client and Host are loopback (against DNS rebinding)."""
    host = request.host.rpartition(":")[0] if not request.host.endswith("]") else request.host
    local = is_loopback(request.remote_addr or "") and is_loopback(host or request.host)
    if not current_settings().uses_mailbox or not current_settings().is_local or not local:
        abort(404)


@bp.get("")
def index() -> ResponseReturnValue:
    folder = _folder()
    # A Maildir key begins with the time of arrival.
    newest = sorted(folder.keys(), key=_arrival, reverse=True)[:MAX_SHOWN]
    return render_template(
        "mailbox/index.html", messages=[_summary(key, _parse(folder, key)) for key in newest]
    )


@bp.get("/<key>")
def message(key: str) -> ResponseReturnValue:
    parsed = _parse(_folder(), key)
    shown = _summary(key, parsed) | {
        "from_": str(parsed["From"]),
        "headers": [(name, str(value)) for name, value in parsed.items()],
        "text": _part(parsed, "plain"),
    }
    return render_template("mailbox/message.html", message=shown, text_html=_linked(_part(parsed, "plain")))


@bp.get("/<key>/html")
def html_part(key: str) -> ResponseReturnValue:
    # The sandbox lets a link out into a new window only; the mail itself should not ask for one.
    page = _part(_parse(_folder(), key), "html").replace("<head>", '<head><base target="_blank">', 1)
    response = Response(page, mimetype="text/html")
    # A mail brings its own styles and pictures, but never scripts.
    response.headers["Content-Security-Policy"] = (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline';"
        " img-src 'self' https: data:; frame-ancestors 'self'"
    )
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


@bp.get("/<key>/raw")
def raw(key: str) -> ResponseReturnValue:
    try:
        source = _folder().get_bytes(key)
    except KeyError:
        abort(404)
    return Response(source, mimetype="text/plain")


def _folder() -> "mailbox.Maildir":
    return mailbox.Maildir(mailbox_folder(current_settings()))


def _arrival(key: str) -> tuple[int, int, str]:
    found = _ARRIVAL.match(key)
    return (int(found[1]), int(found[2]), key) if found else (0, 0, key)


def _parse(folder: "mailbox.Maildir", key: str) -> EmailMessage:
    try:
        return email.message_from_bytes(folder.get_bytes(key), policy=email.policy.default)
    except KeyError:
        abort(404)


def _summary(key: str, parsed: EmailMessage) -> dict[str, Any]:
    date = parsed["Date"]
    return {
        "key": key,
        "to": str(parsed["To"]),
        "subject": str(parsed["Subject"]),
        "at": cast(datetime, date.datetime),
        "is_html": parsed.get_body(("html",)) is not None,
    }


def _part(parsed: EmailMessage, kind: str) -> str:
    part = parsed.get_body((kind,))
    return str(part.get_content()) if part is not None else ""


def _linked(text: str) -> Markup:
    """Escape the text and make its addresses clickable."""
    link = Markup('<a href="{0}" target="_blank" rel="noopener">{0}</a>')
    shown, behind = Markup(), 0
    for found in _LINK.finditer(text):
        # Escaped piece by piece: an address would take the "&gt;" behind it for a part of itself.
        shown += escape(text[behind : found.start()]) + link.format(found[0])
        behind = found.end()
    return shown + escape(text[behind:])


def delete_mails_to(addresses: set[str]) -> None:
    """Delete the mails to these addresses (casefolded) from the built-in mailbox."""
    folder = mailbox_folder(current_settings())
    if not folder.is_dir() or not addresses:
        return
    maildir = mailbox.Maildir(folder)
    for key in list(maildir.keys()):
        recipient = email.message_from_bytes(maildir.get_bytes(key)[:1000])["Delivered-To"] or ""
        if recipient.casefold() in addresses:
            maildir.discard(key)
