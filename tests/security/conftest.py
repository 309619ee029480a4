"""Every route of the program, ready to be asked for."""

import re
from collections.abc import Callable

import pytest
from flask import Flask

from newsletter.db import db
from newsletter.staff.auth.access import UNDERTAKING_VERSION, make_uniquifier
from newsletter.staff.models import Role, Staff
from tests.staff.conftest import PASSWORD, _hash, sign_in_as
from tests.support.clock import NOW

ADDRESS = "canary.address@example.com"


@pytest.fixture
def engine(request) -> str:
    return getattr(request, "param", "sqlite")  # most of what is tested here stands before the database


@pytest.fixture
def routes(app: Flask) -> Callable[[str], list[tuple[str, str]]]:
    """Return (method, path) of every route, with the same word for every part that varies."""

    def fill(word: str) -> list[tuple[str, str]]:
        found = set()
        for rule in app.url_map.iter_rules():
            path = re.sub(r"<(\w+:)?\w+>", lambda part: "7" if part[1] == "int:" else word, rule.rule)
            found |= {(method, path) for method in (rule.methods or set()) - {"OPTIONS"}}
        return sorted(found)

    return fill


@pytest.fixture
def signed_in(client):
    account = Staff(
        email=ADDRESS,
        password=_hash(PASSWORD),
        fs_uniquifier=make_uniquifier(),
        role=Role.ADMIN,
        created_at=NOW,
        undertaken_at=NOW,
        undertaking_version=UNDERTAKING_VERSION,
    )
    db.session.add(account)
    db.session.commit()
    sign_in_as(client, account)
