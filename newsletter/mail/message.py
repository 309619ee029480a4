"""Composes single mails: templates to a multipart/alternative message (RFC 5322, RFC 2045, RFC 2369)."""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import css_inline
from flask import render_template

from newsletter.config import Settings, current_settings
from newsletter.mail.branding import brand
from newsletter.web.i18n import force_language, language


class MailPolicy(EmailPolicy):
    """CRLF, 7-bit content, and headers folded the way mail clients read them."""

    def fold(self, name: str, value: Any) -> str:  # noqa: ANN401 - the base class's signature
        """Fold one header."""
        if name.lower().startswith("list-"):
            # The stdlib turns a long List-Unsubscribe into RFC 2047 words, and one-click is gone.
            return f"{name}: " + str(value).replace(", ", f",{self.linesep} ") + self.linesep
        if name.lower() == "subject" and ("=?" in str(value) or not str(value).isascii()):
            # Some Python releases glue two encoded words together, which Yahoo refuses.
            header = Header(str(value), "utf-8", maxlinelen=76, header_name=name)  # RFC 2047, section 2
            return f"{name}: " + header.encode(linesep=self.linesep) + self.linesep
        return str(super().fold(name, value))

    def fold_binary(self, name: str, value: Any) -> bytes:  # noqa: ANN401 - the base class's signature
        """Fold one header into bytes."""
        if name.lower() == "subject" or name.lower().startswith("list-"):
            return self.fold(name, value).encode("ascii")
        return super().fold_binary(name, value)


#: Exchange heeds this where it does not heed RFC 3834. Not "All", which would keep back bounces too.
NO_ANSWERS = "OOF, AutoReply"
POLICY = MailPolicy(linesep="\r\n", cte_type="7bit")


def sender_domain(chosen: Settings) -> str:
    """Return the domain our addresses and Message-IDs are in."""
    return sender_address(chosen).rpartition("@")[2]


def sender_address(chosen: Settings) -> str:
    """Return SENDER_ADDRESS, or while trying out an address nobody can reply to."""
    return (
        chosen.sender_address
        or f"newsletter@{'localhost' if chosen.is_local else urlsplit(chosen.base_url).hostname}"
    )


def feedback_sender(chosen: Settings) -> str:
    """Return who we are in a Feedback-ID: 5 to 15 letters, the same in every mail of this sender."""
    labels = sender_domain(chosen).lower().split(".")
    name = re.sub(r"[^a-z0-9-]", "", labels[-2] if len(labels) > 1 else labels[0])[:15].strip("-")
    return name if len(name) >= 5 else f"{name}-news"  # noqa: PLR2004 - the least that providers take


def make_message_id(chosen: Settings) -> str:
    """Return a Message-ID nobody can guess."""
    return f"<{secrets.token_urlsafe(18)}@{sender_domain(chosen)}>"


def start_message(*, subject: str, to: str, message_id: str, now: datetime) -> EmailMessage:
    """Return a message with the headers each of ours has, and no body yet.

    Raises ValueError when a value would start a header of its own (CR, LF).
    """
    chosen = current_settings()
    message = EmailMessage(policy=POLICY)
    local, _, domain = sender_address(chosen).rpartition("@")
    message["From"] = Address(chosen.sender_name, local, domain)
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = now
    message["Message-ID"] = message_id
    return message


def compose(
    template: str,
    context: Mapping[str, Any],
    *,
    to: str,
    tongue: str,
    message_id: str,
    now: datetime,
) -> EmailMessage:
    """Write the mail of ``templates/mail/<template>/``, text first, in one language."""
    with force_language(tongue):
        subject = " ".join(render_template(f"mail/{template}/subject.txt", **context).split())
        message = start_message(subject=subject, to=to, message_id=message_id, now=now)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies, please
        message["X-Auto-Response-Suppress"] = NO_ANSWERS
        text = render_template(f"mail/{template}/body.txt", **context).rstrip() + "\n"
        message.set_content(text, cte="quoted-printable")
        html = render_template(f"mail/{template}/body.html", brand=brand(), **context)
        message.add_alternative(inliner().inline(html), subtype="html", cte="quoted-printable")
        message["Content-Language"] = language()  # last: content headers move into the first part
    return message


@lru_cache(maxsize=1)
def inliner() -> css_inline.CSSInliner:
    """Return the one inliner; it fetches nothing."""
    return css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)
