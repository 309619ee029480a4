"""SS-2: every endpoint answers every level as the table in the docs says, and nobody else at all."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from newsletter.staff.auth.access import guarded_endpoints
from newsletter.staff.matrix import EVERYBODY, matrix_rows, render_markdown
from newsletter.staff.models import Role
from tests.subscribers.pages import Page

DOCS = Path(__file__).parents[2] / "docs" / "roles.md"
LEVELS = [role.value for role in Role]


@pytest.fixture
def engine() -> str:
    return "sqlite"  # who may go where does not depend on it


def read_docs() -> dict[tuple[str, str], set[str]]:
    """Return who may use what, as the page in the docs says."""
    table = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in {"GET", "POST", "PUT", "PATCH", "DELETE"}:
            names = [EVERYBODY, *LEVELS]
            allowed = {name for name, cell in zip(names, cells[2:], strict=False) if cell == "yes"}
            table[cells[0], cells[1].strip("`")] = allowed
    return table


def test_the_page_in_the_docs_is_right(app):
    assert DOCS.read_text(encoding="utf-8") == render_markdown(app), "newsletter staff matrix > docs/roles.md"


def test_every_staff_page_says_whom_it_lets_in(app):
    assert [path for _method, path, _endpoint, access in guarded_endpoints(app) if access is None] == []


def test_only_these_are_open_to_everybody(app):
    assert {row.path for row in matrix_rows(app) if EVERYBODY in row.levels} == {
        "/staff/login",
        "/staff/login/code",
        "/staff/login/openid",
        "/staff/login/openid/back",
        "/staff/login/passkey",
        "/staff/first/<token>",
        "/staff/forgot",
        "/staff/reset/<token>",
    }


def test_what_matters_is_asked_for_again(app):
    """Exports, sends, changes of levels, erasures; what reveals a person; what cannot be taken back."""
    again = {(row.method, row.path) for row in matrix_rows(app) if row.again}
    files = {(row.method, row.path) for row in matrix_rows(app) if row.path.endswith((".csv", "/export"))}

    assert len(files) >= 5
    assert files <= again
    assert {("POST", f"/staff/{path}") for path in MATTERS} <= again


MATTERS = (
    *(
        "accounts/",
        "accounts/<int:number>/level",
        "accounts/<int:number>/close",
        "accounts/<int:number>/reset",
    ),
    *("accounts/<int:number>/second-step", "account/second-step", "account/recovery-codes"),
    *("account/passkeys", "account/passkeys/<int:number>/remove", "account/openid/unlink"),
    *(f"campaigns/<int:campaign_id>/{act}" for act in ("send", "resume", "cancel", "undelivered")),
    *(f"privacy/requests/<int:number>/{act}" for act in ("carry-out", "refuse", "extend", "lift")),
    *("privacy/copy", "privacy/audit/export", "privacy/incidents/affected", "privacy/notices"),
    *("privacy/holds/<int:number>/end", "proof", "readers", "subscribers/end"),
)


@pytest.mark.parametrize("level", ["privacy", "admin"])
def test_a_session_left_alone_does_nothing_that_matters(app, client, enter, clock, level):
    enter(role=Role(level))
    token = Page(client.get("/staff/account/")).value("csrf_token")
    clock.shift(timedelta(minutes=16))
    done = []
    for row in matrix_rows(app):
        method, path = row.method, row.path
        if row.again and level in row.levels:
            answer = client.open(
                fill(path), method=method, data={"csrf_token": token} if method == "POST" else None
            )
            asks = (
                answer.status_code == 403 if method == "POST" else answer.location.startswith("/staff/verify")
            )
            if not asks:
                done.append((method, path, answer.status_code))

    assert done == []


def fill(path: str) -> str:
    return re.sub(r"<(int:)?[a-z_]+>", lambda match: "999999" if match[1] else "x", path)


@pytest.mark.parametrize("level", [None, *LEVELS])
def test_the_crawl_finds_exactly_the_table(client, enter, level):
    if level is not None:
        enter(role=Role(level))
    token = Page(client.get("/staff/account/" if level else "/staff/login")).value("csrf_token")
    found, broken = {}, []
    for (method, path), allowed in read_docs().items():
        if path == "/staff/logout":
            continue  # it would end the crawl
        answers = [
            client.open(fill(path), method=method, data={"csrf_token": token} if method != "GET" else None)
        ]
        if method != "GET":
            answers.append(client.open(fill(path), method=method))
        broken += [(method, path, answer.status_code) for answer in answers if answer.status_code >= 500]
        found[method, path] = (judge(answers[0], allowed), allowed)
        if method != "GET":
            assert answers[1].status_code in {302, 400, 403, 405}, (method, path)

    assert broken == []
    wrong = {}
    for endpoint, (answer, allowed) in found.items():
        expected = (
            "in" if EVERYBODY in allowed or level in allowed else "login" if level is None else "refused"
        )
        if answer != expected:
            wrong[endpoint] = (answer, expected)
    assert wrong == {}


def judge(answer, allowed: set[str]) -> str:
    """Tell whether an answer lets in, sends to the login, or refuses."""
    if answer.status_code == 403:
        return "refused"
    is_sent_away = (answer.location or "").split("?")[0] == "/staff/login"
    return "login" if is_sent_away and EVERYBODY not in allowed else "in"
