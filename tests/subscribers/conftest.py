"""What the tests of subscribers share: two lists, the form, and all that the database holds."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from newsletter.db import Base, db
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import MailingList
from tests.subscribers.rows import every_row

Row = TypeVar("Row", bound=Base)

#: Where the pages are while BASE_URL is not set.
LOCAL = "http://127.0.0.1:8000"


@pytest.fixture
def finnish(make_list) -> MailingList:
    made: MailingList = make_list("suomeksi", "Suomenkielinen uutiskirje")
    return made


@pytest.fixture
def english(make_list) -> MailingList:
    made: MailingList = make_list("in-english", "Newsletter in English", language="en")
    return made


@pytest.fixture
def sign_up(app, client, finnish) -> Callable[..., TestResponse]:
    """Post the form, filled in unless the story says otherwise; None leaves a field out.

    In a browser of its own: ``client`` is not the one that signed up.
    """

    def post(
        email: str | None = "meri@example.com",
        *,
        headers: dict[str, str] | None = None,
        ip: str = "127.0.0.1",
        **fields: Any,
    ) -> TestResponse:
        filled = {"email": email, "lists": "suomeksi", "consent": "yes", "lang": "fi"} | fields
        data = {name: value for name, value in filled.items() if value is not None}
        browser = app.test_client(use_cookies=False)
        response: TestResponse = browser.post(
            "/subscribe", data=data, headers=headers, environ_base={"REMOTE_ADDR": ip}
        )
        return response

    return post


@pytest.fixture
def request_link(sign_up, stored) -> Callable[..., str]:
    """Sign up and return a link of the mail, as a path: ``request_link("cancel", tracking="yes")``."""

    def request(kind: str = "confirm", **form: Any) -> str:
        sign_up(**form)
        context = stored(OutboxMail)[-1].context
        return str(context[f"{kind}_url"]).removeprefix(LOCAL)

    return request


@pytest.fixture
def stored(app) -> Callable[[type[Row]], list[Row]]:
    """Look at every row of a table, oldest first: ``stored(Consent)``."""

    def read(table: type[Row]) -> list[Row]:
        rows = list(db.session.scalars(sa.select(table).order_by(*sa.inspect(table).primary_key)).unique())
        db.session.commit()
        return rows

    return read


@pytest.fixture
def dump(app) -> Callable[[], dict[str, list[tuple[Any, ...]]]]:
    """Return every row of every table but the funnel, to compare before and after."""
    return every_row


@pytest.fixture
def change_settings(app, monkeypatch) -> Callable[..., None]:
    """Run on under other settings: ``change_settings(tracking="off")``."""

    def change(**settings: object) -> None:
        monkeypatch.setitem(app.config, "NEWSLETTER", replace(app.config["NEWSLETTER"], **settings))

    return change
