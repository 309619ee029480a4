"""Login with OpenID Connect (OpenID Connect Core 1.0, authorization code flow with PKCE).

It opens existing accounts and creates none. The first time, the verified e-mail address finds the account;
from then on the provider's subject identifier does, so that a reassigned address opens nothing. Discovery
document and keys are fetched at each login and not cached, so the provider may rotate its keys any time.
"""

import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from newsletter.config import current_settings
from newsletter.config.parsers import is_loopback
from newsletter.db import db
from newsletter.errors import N_, AddressInvalid, NotAllowed, Unavailable
from newsletter.ledger import audit
from newsletter.staff.accounts import find_account, notify_owner
from newsletter.staff.models import Staff

# An extra: without it OIDC_ISSUER stops the start, and nothing here is called.
with suppress(ModuleNotFoundError):
    import requests
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.requests_client import OAuth2Session
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

#: Between the page of ours and the answer of the provider.
LOGIN_LIFETIME = timedelta(minutes=10)
#: For each question to the provider, in seconds.
REQUEST_TIMEOUT = 10.0
#: A provider describes itself in a few thousand bytes.
MAX_RESPONSE_BYTES = 500_000
#: What an identity may be signed with; never "none", nor a secret that we share.
ALGORITHMS = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
]
#: How the provider says that it asked for more than a password (RFC 8176).
_MFA_METHOD = "mfa"
_CLOCK_SKEW = 60


class ProviderUnreachable(Unavailable):
    """The provider did not answer, or not as one does."""

    message = N_("%(name)s does not answer just now. Try again in a moment, or log in with your password.")


class IdentityRefused(NotAllowed):
    """The answer is not to what was asked, is too late, or is not signed by the provider."""

    message = N_("Logging in with %(name)s did not work. Begin again from the page of logging in.")


class NoMatchingAccount(NotAllowed):
    """A valid identity with no account."""

    message = N_(
        "%(name)s knows you, but there is no account here for you that it may open. Ask an administrator."
    )


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider says somebody is."""

    #: The provider's own number for the person, never given to another; with the issuer in front.
    subject: str
    #: Empty where the provider has not made sure of it.
    email: str
    #: Whether the provider asked for more than one thing.
    is_strong: bool


def provider_name() -> str:
    """Return what people call the provider."""
    return current_settings().oidc_name or urlsplit(current_settings().oidc_issuer).hostname or ""


def start_authorization(back_url: str, *, now: datetime) -> tuple[str, dict[str, Any]]:
    """Return where to send the browser, and what it has to keep until it comes back.

    Raises ProviderUnreachable.
    """
    kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    with _provider_client() as client:
        url, _state = client.create_authorization_url(
            _discover()["authorization_endpoint"],
            state=kept["state"],
            nonce=kept["nonce"],
            code_verifier=kept["verifier"],
            redirect_uri=back_url,
        )
    return url, kept | {"at": now.timestamp()}


def finish_authorization(
    kept: Mapping[str, Any], answer: Mapping[str, str], back_url: str, *, now: datetime
) -> Identity:
    """Return who came back. ``kept`` is what ``begin`` returned, and must not be used again.

    Raises IdentityRefused or ProviderUnreachable.
    """
    is_over = now.timestamp() > kept.get("at", 0.0) + LOGIN_LIFETIME.total_seconds()
    # As bytes: of texts it takes ASCII only, and the answer may hold anything.
    if is_over or not hmac.compare_digest(kept["state"].encode(), answer.get("state", "").encode()):
        raise IdentityRefused(name=provider_name())
    described = _discover()
    # Two providers must not be taken for each other (RFC 9207).
    if answer.get("iss", described["issuer"]) != described["issuer"] or not answer.get("code"):
        raise IdentityRefused(name=provider_name())
    with _provider_client() as client:
        token = client.fetch_token(
            described["token_endpoint"],
            code=answer["code"],
            redirect_uri=back_url,
            code_verifier=kept["verifier"],
            timeout=REQUEST_TIMEOUT,
            allow_redirects=False,
        )
    claims = _verify_id_token(str(token.get("id_token", "")), kept["nonce"], described, now)
    if "email" not in claims and "userinfo_endpoint" in described:
        claims = _add_userinfo(claims, str(token.get("access_token", "")), described["userinfo_endpoint"])
    has_email = claims.get("email_verified") in (True, "true")
    methods = claims.get("amr")
    return Identity(
        subject=f"{described['issuer']} {claims['sub']}",
        email=str(claims.get("email", "")) if has_email else "",
        is_strong=isinstance(methods, list) and _MFA_METHOD in methods,
    )


def account_for_identity(identity: Identity, *, now: datetime) -> Staff:
    """Return the account that an identity opens, linking it the first time. Raises NoMatchingAccount."""
    account = db.session.scalar(sa.select(Staff).where(Staff.openid_subject == identity.subject))
    if account is None:
        with suppress(AddressInvalid):
            account = find_account(identity.email)
        # Linked to somebody else: the address has another owner now, or the provider mixes people up.
        if account is None or not account.active or account.openid_subject is not None:
            raise NoMatchingAccount(name=provider_name())
        account.openid_subject = identity.subject
        audit.record("openid linked", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")
        notify_owner(account, "openid_linked", now=now)
    if not account.active:
        raise NoMatchingAccount(name=provider_name())
    return account


def unlink(account: Staff, *, now: datetime) -> None:
    """Let the provider open this account no more, until it is linked anew."""
    account.openid_subject = None
    audit.record("openid unlinked", actor=f"staff:{account.id}", now=now, object=f"staff:{account.id}")


@contextmanager
def _provider_client() -> Iterator["OAuth2Session"]:
    """Yield an OAuth client of the provider; its errors are raised as ours."""
    chosen = current_settings()
    client = OAuth2Session(
        chosen.oidc_client_id,
        chosen.oidc_client_secret or None,
        token_endpoint_auth_method="client_secret_basic" if chosen.oidc_client_secret else "none",
        scope="openid email",
        code_challenge_method="S256",
    )
    try:
        yield client
    except requests.RequestException as error:
        raise ProviderUnreachable(name=provider_name()) from error
    except (AuthlibBaseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IdentityRefused(name=provider_name()) from error
    finally:
        client.close()


def _discover() -> dict[str, Any]:
    """Return how the provider describes itself (OpenID Connect Discovery 1.0, 4)."""
    issuer = current_settings().oidc_issuer
    found = _fetch_json(issuer.rstrip("/") + "/.well-known/openid-configuration")
    needed = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    if found.get("issuer") != issuer or not all(_is_secure_url(found.get(name)) for name in needed):
        raise ProviderUnreachable(name=provider_name())
    return found


def _is_secure_url(url: object) -> bool:
    """Tell whether secrets may be sent there: https, or loopback if the issuer is on loopback too."""
    if not isinstance(url, str):
        return False
    parts, ours = urlsplit(url), urlsplit(current_settings().oidc_issuer)
    is_here = is_loopback(parts.hostname or "") and is_loopback(ours.hostname or "")
    return parts.scheme == "https" or (parts.scheme == "http" and is_here)


def _fetch_json(url: str, token: str = "") -> dict[str, Any]:
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        with requests.get(
            url, headers=headers, timeout=REQUEST_TIMEOUT, allow_redirects=False, stream=True
        ) as answer:
            answer.raise_for_status()
            found = json.loads(answer.raw.read(MAX_RESPONSE_BYTES, decode_content=True))
    except (requests.RequestException, OSError, ValueError) as error:
        raise ProviderUnreachable(name=provider_name()) from error
    if not isinstance(found, dict):
        raise ProviderUnreachable(name=provider_name())
    return found


def _verify_id_token(
    id_token: str, nonce: str, described: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Return what a signed identity says, once all of it is as it must be (Core 1.0, 3.1.3.7)."""
    ours = current_settings().oidc_client_id
    keys = _fetch_json(described["jwks_uri"])
    must: dict[str, Any] = {
        "iss": {"essential": True, "value": described["issuer"]},
        "aud": {"essential": True, "value": ours},
        "nonce": {"essential": True, "value": nonce},
        **{name: {"essential": True} for name in ("sub", "exp", "iat")},
    }
    try:
        claims = dict(jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=ALGORITHMS).claims)  # type: ignore[arg-type]
        jwt.JWTClaimsRegistry(now=int(now.timestamp()), leeway=_CLOCK_SKEW, **must).validate(claims)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise IdentityRefused(name=provider_name()) from error
    if claims.get("azp", ours) != ours:
        raise IdentityRefused(name=provider_name())
    return claims


def _add_userinfo(claims: dict[str, Any], token: str, url: object) -> dict[str, Any]:
    """Add what the provider says of the address apart, if it is of the same person."""
    if not _is_secure_url(url):
        return claims
    said = _fetch_json(str(url), token)
    if said.get("sub") != claims["sub"]:
        raise IdentityRefused(name=provider_name())
    return claims | {name: said[name] for name in ("email", "email_verified") if name in said}
