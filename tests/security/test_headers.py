"""PP-1: what a scanner of headers looks for, on every route, whoever asks."""

import pytest


@pytest.mark.parametrize("who", ["nobody", "administrator"])
def test_every_answer_carries_the_headers(app, client, request, routes, who):
    if who == "administrator":
        request.getfixturevalue("signed_in")
    lacking = {}
    for method, path in routes("x"):
        # The gateway answers these: a picture and a redirect, which no browser shows as a page.
        if method != "GET" or path.startswith(("/o/", "/c/", "/static/")):
            continue
        headers = client.get(path, base_url="https://localhost").headers
        csp = headers.get("Content-Security-Policy", "")
        wrong = [
            name
            for name, holds in {
                "csp": "default-src 'none'" in csp and "unsafe" not in csp and "*" not in csp,
                "base-uri": "base-uri 'none'" in csp or "sandbox" in csp,
                "nosniff": headers.get("X-Content-Type-Options") == "nosniff",
                "framing": "frame-ancestors" in csp,
                "referrer": headers.get("Referrer-Policy") in {"no-referrer", "same-origin"},
                "hsts": "max-age=31536000" in headers.get("Strict-Transport-Security", ""),
                "cache": headers.get("Cache-Control") in {"no-store", "no-cache"},
                "robots": headers.get("X-Robots-Tag") == "noindex",
                "permissions": "camera=()" in headers.get("Permissions-Policy", ""),
                "no server version": "/" not in headers.get("Server", ""),
            }.items()
            if not holds
        ]
        if wrong:
            lacking[path] = wrong

    assert lacking == {}


def test_staff_pages_share_nothing_with_other_windows(client):
    headers = client.get("/staff/login").headers

    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_report_of_a_weakness_finds_its_way(client):
    lines = client.get("/.well-known/security.txt").text.splitlines()

    assert lines[0] == "Contact: mailto:tietosuoja@kirjakauppa.example"
    assert [line.partition(":")[0] for line in lines] == [
        "Contact",
        "Expires",
        "Preferred-Languages",
        "Canonical",
    ]


def test_ss8_a_key_that_was_replaced_still_opens_what_it_made(make_app, app, client, signed_in):
    client.get("/staff/campaigns")
    cookie = client.get_cookie("staff")
    url = app.config["NEWSLETTER"].database_url
    rotated = make_app(
        secret_key="a new key", secret_key_fallbacks="the secret key of the tests", database_url=url
    ).test_client()
    rotated.set_cookie("staff", cookie.value)
    lost = make_app(secret_key="a new key", database_url=url).test_client()
    lost.set_cookie("staff", cookie.value)

    assert rotated.get("/staff/campaigns").status_code == 200
    assert lost.get("/staff/campaigns").status_code == 302
