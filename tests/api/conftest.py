"""What the tests of the API share: a program with a token."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from newsletter.db import db
from newsletter.staff.api_tokens import SCOPES, create_token
from tests.support.clock import NOW


@pytest.fixture
def make_token(app) -> Callable[..., str]:
    """Make a token, for everything unless the story says otherwise, and return its secret."""

    def make(*scopes: str, lists: list[str] | None = None, days: int = 30) -> str:
        _made, secret = create_token(
            name="Testi", scopes=scopes or SCOPES, lists=lists, days=days, now=NOW, actor="console"
        )
        db.session.commit()
        return secret

    return make


@pytest.fixture
def call(client, make_token) -> Callable[..., TestResponse]:
    """Call the API: ``call("/lists")``, ``call("/lists", {"slug": …})``; with a token for everything."""
    usual: list[str] = []

    def send(
        path: str, sent: Any = None, *, token: str | None = None, method: str | None = None, **headers: str
    ) -> TestResponse:
        if token is None and not usual:
            usual.append(make_token())
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response: TestResponse = client.open(
            f"/api/v1{path}",
            method=method or ("GET" if sent is None else "POST"),
            json=sent,
            headers={"Authorization": f"Bearer {token or usual[0]}", "Accept-Language": "en"} | named,
        )
        return response

    return send
