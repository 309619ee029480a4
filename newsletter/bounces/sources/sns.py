"""Signatures of Amazon SNS, which delivers the reports of SES.

The certificate is fetched from Amazon only, once for each URL, when the first report of a configured topic
arrives, and only if HOOK_SES_TOPIC is set.
"""

import base64
import json
import logging
import re
import ssl
from datetime import datetime
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509 import load_pem_x509_certificate
from flask import current_app

log = logging.getLogger(__name__)

_HOST_PATTERN = re.compile(r"sns\.[a-z0-9-]{3,30}\.amazonaws\.com(?:\.cn)?")
_SIGNED_FIELDS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
    "UnsubscribeConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_TIMEOUT_SECONDS = 10.0
_MAX_RESPONSE_BYTES = 100_000


def verify(topic: str, _headers: object, body: bytes, _now: datetime) -> bool:
    """Check that a message is signed by Amazon with SHA-256 (version 2), for our topic."""
    message: dict[str, Any] = json.loads(body)
    if message.get("TopicArn") != topic or message.get("SignatureVersion") != "2":
        return False
    names = _SIGNED_FIELDS.get(message.get("Type", ""))
    if names is None or not _is_amazon(message.get("SigningCertURL", "")):
        return False
    signed = "".join(f"{name}\n{message[name]}\n" for name in names if message.get(name) is not None)
    return _is_signed(signed.encode(), message["Signature"], message["SigningCertURL"])


def confirm_subscription(body: bytes) -> bool:
    """Confirm the subscription of our topic; True if the message asked for it. Call ``verify`` first."""
    message = json.loads(body)
    if message["Type"] == "UnsubscribeConfirmation":
        log.warning("topic of reports unsubscribed", extra={"source": "ses"})
        return True
    if message["Type"] != "SubscriptionConfirmation":
        return False
    if _is_amazon(message["SubscribeURL"]):
        _get(message["SubscribeURL"])
    return True


def _is_signed(signed: bytes, signature: str, certificate_url: str) -> bool:
    known: dict[str, bytes] = current_app.extensions.setdefault("newsletter.sns_certificates", {})
    if certificate_url not in known:
        found = _get(certificate_url)
        if found is None:
            return False
        known[certificate_url] = found
    public = load_pem_x509_certificate(known[certificate_url]).public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        return False
    try:
        public.verify(base64.b64decode(signature), signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _is_amazon(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" and _HOST_PATTERN.fullmatch(parts.netloc) is not None


def _get(url: str) -> bytes | None:
    parts = urlsplit(url)
    connection = HTTPSConnection(parts.netloc, timeout=_TIMEOUT_SECONDS, context=ssl.create_default_context())
    try:
        connection.request("GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
        answer = connection.getresponse()
        return answer.read(_MAX_RESPONSE_BYTES) if answer.status == 200 else None  # noqa: PLR2004
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
