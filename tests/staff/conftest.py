"""What the tests of staff share: an account, and forms with their CSRF token."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.staff.auth import sessions
from newsletter.staff.auth.access import UNDERTAKING_VERSION, make_password_hash, make_uniquifier
from newsletter.staff.models import Role, Staff
from tests.subscribers.pages import Page
from tests.support.clock import NOW

PASSWORD = "neljä sanaa riviin"


@cache  # Argon2 is slow by design, and every application of the tests has the same key
def _hash(password: str) -> str:
    return make_password_hash(password)


def sign_in_as(client: FlaskClient, account: Staff) -> None:
    """Begin a session in a browser, as the login page would."""
    token = sessions.create_session(account, network="192.0.2.1", agent="pytest", now=utcnow())
    db.session.commit()
    with client.session_transaction() as session:
        session.clear()
        session["_user_id"], session["_fresh"] = account.fs_uniquifier, True
        session["staff_session"] = token


@pytest.fixture
def make_staff(app) -> Callable[..., Staff]:
    """Make an account whose password is "neljä sanaa riviin"."""

    def make(
        email: str = "anna@kirjakauppa.example",
        role: Role = Role.VIEWER,
        *,
        active: bool = True,
        **columns: Any,
    ) -> Staff:
        usual = {"undertaken_at": NOW, "undertaking_version": UNDERTAKING_VERSION}
        made = Staff(
            email=email,
            password=_hash(PASSWORD),
            active=active,
            fs_uniquifier=make_uniquifier(),
            role=role,
            created_at=NOW,
            **usual | columns,
        )
        db.session.add(made)
        db.session.commit()
        return made

    return make


@pytest.fixture
def submit(client) -> Callable[..., TestResponse]:
    """Open a page and send its form as a browser would: ``submit("/staff/login", email=…)``."""

    def post(page: str, to: str | None = None, **fields: str) -> TestResponse:
        token = Page(client.get(page)).value("csrf_token")
        response: TestResponse = client.post(to or page, data={"csrf_token": token} | fields)
        return response

    return post


@pytest.fixture
def log_in(submit) -> Callable[..., TestResponse]:
    """Log in: ``log_in()`` as Anna, ``log_in(password="…")``."""

    def post(
        email: str = "anna@kirjakauppa.example", password: str = PASSWORD, query: str = ""
    ) -> TestResponse:
        response: TestResponse = submit(f"/staff/login{query}", email=email, password=password)
        return response

    return post


@pytest.fixture
def enter(client, make_staff) -> Callable[..., Staff]:
    """Be signed in, without the login page, whose password hash is slow: ``enter(role=Role.PRIVACY)``."""

    def sign_in(**account: Any) -> Staff:
        made: Staff = make_staff(**account)
        sign_in_as(client, made)
        return made

    return sign_in


@pytest.fixture
def log_out(submit) -> Callable[[], TestResponse]:
    """Press the button that is on every staff page."""
    return lambda: submit("/staff/campaigns", to="/staff/logout")
