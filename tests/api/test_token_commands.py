"""``newsletter tokens …``."""

import json

import pytest

from newsletter.db import db


@pytest.fixture
def run(app):
    def command(*words: str):
        db.session.commit()
        result = app.test_cli_runner().invoke(args=["tokens", *words, "--json"])
        db.session.expire_all()
        return result.exit_code, json.loads(result.output) if result.exit_code == 0 else result.output

    return command


def test_a_token_is_shown_once_and_works_until_it_is_revoked(run, client):
    code, made = run("create", "--name", "Kauppa", "--scope", "lists:read", "--days", "90")
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert (code, client.get("/api/v1/lists", headers=headers).status_code) == (0, 200)

    (shown,) = run("show")[1]
    assert (shown["name"], shown["scopes"], shown["good"]) == ("Kauppa", ["lists:read"], True)
    assert made["token"] not in json.dumps(shown)

    assert run("revoke", str(made["id"])) == (0, {"id": made["id"], "good": False})
    assert client.get("/api/v1/lists", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("create", "--name", "x", "--scope", "all"), 2),
        (("create", "--name", "x"), 2),
        (("create", "--name", " ", "--scope", "lists:read"), 1),
        (("create", "--name", "x", "--scope", "lists:read", "--days", "9999"), 1),
        (("revoke", "7"), 1),
    ],
)
def test_what_cannot_be_is_refused(run, words, code):
    assert run(*words)[0] == code
