"""A provider of OpenID Connect on a loopback address, with a real key, that can be told to misbehave."""

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

CLIENT, SECRET = "uutiskirje", "the secret of a client"
MERI = {"sub": "4711", "email": "meri@kirjakauppa.example", "email_verified": True}


class Provider:
    """Signs one person in, whoever asks. ``claims`` and the rest may be changed at any time."""

    def __init__(self, name: str = "127.0.0.1") -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://{name}:{self._server.server_port}"
        self.person: dict[str, Any] = dict(MERI)
        #: Written over what an identity would say.
        self.claims: dict[str, Any] = {}
        self.keys = KeySet([RSAKey.generate_key(2048, {"kid": "1", "use": "sig"})])
        #: A header and a key to sign with instead.
        self.signs_with: tuple[str, Any] | None = None
        #: Written over what it says of itself.
        self.description: dict[str, Any] = {}
        self.says_email_apart = False
        self.broken: set[str] = set()
        self._codes: dict[str, dict[str, str]] = {}
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def authorize(self, url: str) -> str:
        """Do what a browser and its person do at the provider; return where they are sent back to."""
        asked = dict(parse_qsl(urlsplit(url).query))
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return asked["redirect_uri"] + "?" + urlencode({"code": code, "state": asked["state"]})

    def _ask(self, url: str) -> str:
        """Return the page on which a person says who they are."""
        back = html.escape(self.authorize(url))
        return f'<!doctype html><title>Tunnus</title><a href="{back}">{self.person["email"]}</a>'

    def _describe(self) -> dict[str, Any]:
        here = self.issuer
        return {
            "issuer": here,
            "authorization_endpoint": f"{here}/authorize",
            "token_endpoint": f"{here}/token",
            "jwks_uri": f"{here}/keys",
            "userinfo_endpoint": f"{here}/person",
        } | self.description

    def _redeem(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(form.get("code", ""), None)
        login = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if asked is None or authorization != f"Basic {login}":
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked.get("code_challenge") != challenge or asked["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        identity = self._sign({"nonce": asked["nonce"]})
        return 200, {"access_token": "abc", "token_type": "Bearer", "id_token": identity}

    def _sign(self, more: dict[str, Any]) -> str:
        now = int(time.time())
        person = {"sub": self.person["sub"]} if self.says_email_apart else self.person
        claims = (
            {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300} | person | more | self.claims
        )
        claims = {name: value for name, value in claims.items() if value is not None}
        algorithm, key = self.signs_with or ("RS256", self.keys.keys[0])
        if algorithm == "none":
            parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
            return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
        return jwt.encode({"alg": algorithm, "kid": "1"}, claims, key, algorithms=[algorithm])

    def _handler(provider) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - self is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {
                    "/.well-known/openid-configuration": provider._describe,
                    "/keys": lambda: provider.keys.as_dict(private=False),
                    "/person": lambda: provider.person,
                }
                if self.path.startswith("/authorize?"):
                    self._send(200, "text/html", provider._ask(self.path).encode())
                    return
                self._answer(200, pages[self.path]())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._answer(*provider._redeem(form, self.headers.get("Authorization", "")))

            def _answer(self, status: int, said: Mapping[str, Any]) -> None:
                if self.path in provider.broken:
                    status, content = 502, b"<h1>Bad gateway</h1>"
                else:
                    content = json.dumps(said).encode()
                self._send(status, "application/json", content)

            def _send(self, status: int, kind: str, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments: object) -> None:
                pass

        return Handler


def other_key() -> RSAKey:
    """Return a key that is nobody's."""
    return RSAKey.generate_key(2048, {"kid": "1"})


def shared_key() -> OctKey:
    """Return the client's secret as a key, which must sign nothing."""
    return OctKey.import_key(SECRET * 3)
