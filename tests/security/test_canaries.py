"""SS-6: no log holds an address, a token or a password, whatever they are sent to."""

import logging

import pytest

from tests.security.conftest import ADDRESS
from tests.subscribers.pages import Page

TOKEN, SECRET = "canary-token", "canary sanaa riviin"
FIELDS = {
    **dict.fromkeys(("email", "address", "new_address", "text"), ADDRESS),
    **dict.fromkeys(("password", "current", "proof", "code", "passkey", "credential"), SECRET),
    "lists": "oma",
    "consent": "yes",
    "after": f"{ADDRESS} 7",
}


def said(caplog) -> str:
    """Return everything that was logged, with what the formatter of the tests would leave out."""
    formatter = logging.Formatter()
    return "\n".join(f"{formatter.format(record)} {vars(record)}" for record in caplog.records)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("who", ["nobody", "administrator", "program"])
def test_nothing_that_was_sent_stands_in_the_log(app, client, request, routes, make_list, caplog, who):
    make_list("oma")
    headers = {"Referer": f"http://localhost/?email={ADDRESS}"}
    if who == "administrator":
        request.getfixturevalue("signed_in")
        FIELDS["csrf_token"] = str(Page(client.get("/staff/account/")).value("csrf_token"))
    if who == "program":
        headers["Authorization"] = f"Bearer nl_{TOKEN}"
    caplog.set_level("DEBUG")

    asked = 0
    for method, path in routes(TOKEN):
        if path == "/staff/logout":
            continue
        query = {"email": ADDRESS, "token": TOKEN, "next": f"/staff/{TOKEN}"}
        client.open(path, method=method, query_string=query, headers=headers)
        if method == "POST":
            client.post(path, data=FIELDS, headers=headers)
            client.post(path, json={"email": ADDRESS, "address": ADDRESS, "lists": ["oma"]}, headers=headers)
        asked += 1

    assert asked > 60
    for canary in ("canary.address", TOKEN, SECRET, "canary.address%40"):
        assert canary not in said(caplog)
