"""Idempotency keys: a write with a key is executed once, and its response replayed for a day.

A stored response may hold personal data and outlive an erasure within that day. So keys and requests are
hashed and responses encrypted with the secret of the API token, of which we store only a hash.
"""

import base64
import hmac
from datetime import datetime, timedelta

import sqlalchemy as sa
from cryptography.fernet import Fernet
from flask import Response, g, request
from flask_babel import gettext as _

from newsletter.api.models import IdempotentRequest
from newsletter.api.problems import problem
from newsletter.db import db, execute_dml, insert_or_ignore
from newsletter.staff.models import ApiToken

KEY_LIFETIME = timedelta(hours=24)
_MAX_KEY_LENGTH = 200


def begin(token: ApiToken, secret: str, now: datetime) -> Response | None:
    """Return the stored response of a repeated write, or a problem; None for a new one."""
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        return None
    if len(key) > _MAX_KEY_LENGTH or not key.isprintable():
        words = _("An idempotency key has at most 200 characters.")
        return problem(400, words, code="idempotency_key_invalid")
    name = _hash(secret, b"key", key.encode())
    asked = f"{request.method} {request.full_path}\n".encode() + request.get_data()
    row = {
        "token_id": token.id,
        "key": name,
        "fingerprint": _hash(secret, b"asked", asked),
        "created_at": now,
    }
    if insert_or_ignore(IdempotentRequest, row):
        g.repeatable = (token.id, name, secret)
        return None
    before = db.session.get(IdempotentRequest, (token.id, name), populate_existing=True)
    if before is None or before.status is None:
        words = _("The first request with this key is not finished.")
        return problem(409, words, code="idempotency_key_in_use")
    if before.fingerprint != row["fingerprint"]:
        return problem(422, _("This key was used for another request."), code="idempotency_key_reused")
    body = _cipher(secret).decrypt(before.body or "")
    response = Response(body, before.status, content_type="application/json")
    response.headers["Idempotent-Replayed"] = "true"
    return response


def finish(response: Response) -> None:
    """Store the response of a write with a key."""
    kept = g.pop("repeatable", None)
    if kept is None or response.status_code >= 500:  # noqa: PLR2004
        return
    token_id, name, secret = kept
    mine = sa.update(IdempotentRequest).where(
        IdempotentRequest.token_id == token_id, IdempotentRequest.key == name
    )
    db.session.rollback()  # discard what a refused write left in the session
    body = _cipher(secret).encrypt(response.get_data()).decode()
    execute_dml(mine.values(status=response.status_code, body=body))
    db.session.commit()


def delete_expired(now: datetime) -> int:
    """Delete keys older than KEY_LIFETIME, and return how many. Does not commit."""
    return execute_dml(sa.delete(IdempotentRequest).where(IdempotentRequest.created_at < now - KEY_LIFETIME))


def _hash(secret: str, purpose: bytes, content: bytes) -> str:
    return hmac.digest(secret.encode(), purpose + b"\n" + content, "sha256").hex()


def _cipher(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hmac.digest(secret.encode(), b"answer", "sha256")))
