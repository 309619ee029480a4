"""Passkeys (WebAuthn): registration and authentication with a key that stays on its owner's devices.

A passkey is accepted only for a challenge of ours, which works once, from our own origin, and with user
verification (fingerprint, face or PIN) by the device. So it counts as both factors.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit
from newsletter.staff.auth.two_factor import REQUIRED_ROLES
from newsletter.staff.models import Staff, StaffPasskey

# An extra: without it PASSKEYS stops the start, and nothing here is called.
with suppress(ModuleNotFoundError):
    import webauthn
    from webauthn.helpers import (
        base64url_to_bytes,
        bytes_to_base64url,
        options_to_json_dict,
        parse_authentication_credential_json,
    )
    from webauthn.helpers.exceptions import WebAuthnException
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        PublicKeyCredentialDescriptor,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

MAX_NAME_LENGTH = 60
#: More than anybody has devices.
MAX_PASSKEYS = 20
#: A browser's answer is a few hundred letters; attestations of old devices a few thousand.
MAX_RESPONSE_LENGTH = 20_000


class PasskeyRefused(NewsletterError):
    """Not a passkey of ours, or not an answer to what was asked."""

    message = N_("The passkey was not accepted. Try again, or log in another way.")


class PasskeyNotCreated(NewsletterError):
    """The browser's answer is missing or not to what was asked."""

    message = N_(
        "No passkey was made. It takes a browser with scripts that knows passkeys, and five minutes at most."
    )


class PasskeyNameMissing(NewsletterError):
    """Two without names could not be told apart."""

    message = N_("Give the passkey a name.")


class TooManyPasskeys(NewsletterError):
    """One of them must go first."""

    message = N_("You have too many passkeys. Remove one that you do not use.")


class PasskeyRequired(NewsletterError):
    """Without it the password alone would do, at a level where it may not."""

    message = N_(
        "This is your only second step of signing in, and your user level needs one. Set up another first."
    )


class UnknownPasskey(NotFound):
    """None of this account's."""

    message = N_("There is no such passkey.")


def list_passkeys(account: Staff) -> Sequence[StaffPasskey]:
    """Return the passkeys of an account, oldest first."""
    owned = sa.select(StaffPasskey).where(StaffPasskey.staff_id == account.id)
    return db.session.scalars(owned.order_by(StaffPasskey.id)).all()


# --- a new one --------------------------------------------------------------------------------------


def creation_options(account: Staff, challenge: bytes) -> dict[str, Any]:
    """Return what a browser needs to make a passkey of an account, as JSON holds it."""
    if account.passkey_handle is None:
        account.passkey_handle = secrets.token_urlsafe(32)
    options = webauthn.generate_registration_options(
        rp_id=_rp_id(),
        rp_name=current_settings().sender_name or "Newsletter",
        user_id=account.passkey_handle.encode(),
        user_name=account.email,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,  # found without saying who one is
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=base64url_to_bytes(row.credential))
            for row in list_passkeys(account)
        ],
    )
    return options_to_json_dict(options)


def register_passkey(account: Staff, *, name: str, answer: str, challenge: bytes, now: datetime) -> None:
    """Keep the passkey that a browser has made. The account must be locked.

    Raises PasskeyNameMissing, TooManyPasskeys or PasskeyNotCreated.
    """
    name = _clean_name(name)
    if account.passkey_count >= MAX_PASSKEYS:
        raise TooManyPasskeys
    try:
        made = webauthn.verify_registration_response(
            credential=answer[:MAX_RESPONSE_LENGTH],
            expected_challenge=challenge,
            expected_rp_id=_rp_id(),
            expected_origin=_rp_origin(),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise PasskeyNotCreated from error
    row = {
        "staff_id": account.id,
        "credential": bytes_to_base64url(made.credential_id),
        "public_key": made.credential_public_key,
        "sign_count": made.sign_count,
        "name": name,
        "created_at": now,
    }
    if not insert_or_ignore(StaffPasskey, row):
        raise PasskeyNotCreated
    db.session.expire(account, ["passkey_count"])
    audit.record("passkey added", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")


# --- using one --------------------------------------------------------------------------------------


def request_options(challenge: bytes) -> dict[str, Any]:
    """Return what a browser needs to let its owner choose a passkey, as JSON holds it."""
    options = webauthn.generate_authentication_options(
        rp_id=_rp_id(), challenge=challenge, user_verification=UserVerificationRequirement.REQUIRED
    )
    return options_to_json_dict(options)


def authenticate(answer: str, challenge: bytes, *, now: datetime, owner: Staff | None = None) -> Staff:
    """Return whose passkey has answered a challenge; with ``owner`` it must be that account's.

    Raises PasskeyRefused. What was wrong with a known passkey is then a line of the audit log, if the
    caller commits.
    """
    if not current_settings().passkeys:
        raise PasskeyRefused
    try:
        said = parse_authentication_credential_json(answer[:MAX_RESPONSE_LENGTH])
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise PasskeyRefused from error
    matching = sa.select(StaffPasskey).where(StaffPasskey.credential == said.id)
    found = db.session.scalar(matching.with_for_update())
    account = db.session.get(Staff, found.staff_id) if found is not None else None
    if found is None or account is None or not account.active or (owner is not None and account != owner):
        raise PasskeyRefused
    try:
        verified = webauthn.verify_authentication_response(
            credential=said,
            expected_challenge=challenge,
            expected_rp_id=_rp_id(),
            expected_origin=_rp_origin(),
            credential_public_key=found.public_key,
            # A count that does not go up tells of a copied key (WebAuthn, 6.1.1).
            credential_current_sign_count=found.sign_count,
            require_user_verification=True,
        )
        _check_user_handle(said.response.user_handle, account)
    except (WebAuthnException, ValueError) as error:
        audit.record("passkey refused", actor="system", now=now, object=f"staff:{account.id}")
        raise PasskeyRefused from error
    found.sign_count, found.last_used_at = verified.new_sign_count, now
    audit.record("passkey used", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")
    return account


def _check_user_handle(said: bytes | None, account: Staff) -> None:
    if said != (account.passkey_handle or "").encode():
        raise ValueError("a passkey that says it is another account's")


# --- its name, and its end ---------------------------------------------------------------------------


def rename_passkey(account: Staff, number: int, name: str, *, now: datetime) -> None:
    """Call a passkey something else. Raises UnknownPasskey or PasskeyNameMissing."""
    found = _get_own_passkey(account, number)
    found.name = _clean_name(name)
    audit.record("passkey renamed", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")


def remove_passkey(account: Staff, number: int, *, now: datetime) -> StaffPasskey:
    """Delete a passkey of an account, which must be locked. Raises UnknownPasskey or PasskeyRequired."""
    found = _get_own_passkey(account, number)
    is_only = account.passkey_count == 1 and not account.has_authenticator
    if is_only and account.role in REQUIRED_ROLES and not current_settings().is_local:
        raise PasskeyRequired
    db.session.delete(found)
    db.session.flush()
    db.session.expire(account, ["passkey_count"])
    if is_only:
        account.recovery_hashes = []  # they stood in for it
    audit.record("passkey removed", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")
    return found


def _get_own_passkey(account: Staff, number: int) -> StaffPasskey:
    found = db.session.get(StaffPasskey, number)
    if found is None or found.staff_id != account.id:
        raise UnknownPasskey
    return found


def _clean_name(text: str) -> str:
    name = " ".join(text.split())[:MAX_NAME_LENGTH]
    if not name:
        raise PasskeyNameMissing
    return name


def _rp_id() -> str:
    return urlsplit(current_settings().base_url).hostname or ""


def _rp_origin() -> str:
    """Return our address as browsers write it: without a port that goes without saying."""
    parts = urlsplit(current_settings().base_url)
    usual = {"https": 443, "http": 80}[parts.scheme]
    port = f":{parts.port}" if parts.port not in {None, usual} else ""
    return f"{parts.scheme}://{_rp_id()}{port}"
