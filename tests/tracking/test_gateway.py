"""The gateway, as a web server calls it: what it answers, what it keeps, where it leads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from wsgiref.util import setup_testing_defaults

import pytest
import sqlalchemy as sa
from flask import Flask

from newsletter.db import db
from newsletter.subscribers import links as person_links
from newsletter.tracking.addresses import normalize_ip
from newsletter.tracking.hit_log import LostHits, lost_hits
from newsletter.tracking.links import HIT_TOKEN, store_links
from tests.support.gateway import gateway_of
from tests.tracking.hits import THUNDERBIRD, spool_folder, spooled

#: 2026-03-03 09:30 UTC in milliseconds.
NOW_MS = 1772530200000
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}


@dataclass
class Answer:
    status: str
    headers: dict[str, str]
    body: bytes


def asker(app: Flask) -> Callable[..., Answer]:
    """Call an application as a web server does."""

    def ask(path: str, method: str = "GET", query: str = "", **headers: str) -> Answer:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_ADDR": "203.0.113.7",
            "HTTP_USER_AGENT": THUNDERBIRD, **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }  # fmt: skip
        setup_testing_defaults(environ)
        started: list[Any] = []
        body = b"".join(app.wsgi_app(environ, cast(Any, lambda *given: started.extend(given))))
        return Answer(started[0], dict(started[1]), body)

    return ask


@pytest.fixture
def ask(app) -> Callable[..., Answer]:
    return asker(app)


@pytest.fixture
def edition(real_app, make_campaign) -> int:
    """An edition whose links 1 and 2 lead somewhere; clicks are looked up beside the test's session."""
    (made,) = make_campaign().editions
    store_links(made.id, ["https://kirja.example/a?b=1&c=2#d", "https://kirja.example/"])
    db.session.commit()
    db.session.rollback()
    return int(made.id)


on_one_engine = pytest.mark.parametrize("engine", ["sqlite"])


# --- the picture -----------------------------------------------------------------------------------


@on_one_engine
def test_the_picture_is_one_clear_pixel_that_nobody_keeps(ask):
    answer = ask(f"/o/{HIT_TOKEN.make(3, 7)}")

    assert (answer.status, answer.body, len(answer.body)) == ("200 OK", GIF, 43)
    assert answer.headers == {"Content-Type": "image/gif", "Content-Length": "43"} | PRIVATE


@on_one_engine
def test_an_open_waits_in_the_spool(app, ask):
    ask(f"/o/{HIT_TOKEN.make(3, 7)}")

    assert spooled(app) == [[NOW_MS, "open", 3, 7, None, "203.0.113.7", THUNDERBIRD]]


FORGERIES: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "a letter": lambda: "x",
    "a made-up signature": lambda: "AAAAAwAAAAc.x",
    "a cut signature": lambda: HIT_TOKEN.make(3, 7)[:-1],
    "another edition": lambda: HIT_TOKEN.make(3, 7).replace("AAAAAw", "AAAABA"),
    "a slash behind": lambda: HIT_TOKEN.make(3, 7) + "/",
    "own details": lambda: person_links.PREFERENCES.make(7),
    "a way out": lambda: person_links.UNSUBSCRIBE.make(7, 1, 1),
    "the same shape for another purpose": lambda: person_links.CANCEL.make(3, 7),
    "bytes": lambda: "\xff\xfe.\x80",
    "nul": lambda: "\0.\0",
    "another folder": lambda: "../../etc/passwd",
    "very long": lambda: "A" * 100_000,
    "dots": lambda: "." * 1000,
}
forgeries = pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)


@on_one_engine
@forgeries
def test_a_bad_token_gets_the_same_picture_and_leaves_no_trace(app, ask, forged):
    genuine = ask(f"/o/{HIT_TOKEN.make(3, 7)}")

    answer = ask(f"/o/{forged()}")

    assert answer == genuine
    assert len(spooled(app)) == 1


@on_one_engine
def test_a_link_signed_with_an_older_key_still_works(app, make_app):
    token = HIT_TOKEN.make(3, 7)
    renewed = make_app(secret_key="a new key", secret_key_fallbacks=app.config["SECRET_KEY"])

    asker(renewed)(f"/o/{token}")

    assert len(spooled(renewed)) == 1


# --- who does not count ----------------------------------------------------------------------------


@on_one_engine
@pytest.mark.parametrize(
    "request_",
    [
        {"method": "HEAD"},
        {"sec_purpose": "prefetch"},
        {"sec_purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"x_moz": "prefetch"},
    ],
)
@pytest.mark.parametrize("kind", ["open", "click"])
def test_who_only_looks_ahead_is_answered_and_not_counted(app, ask, edition, request_, kind):
    token = HIT_TOKEN.make(edition, 7)

    answer = ask(f"/o/{token}" if kind == "open" else f"/c/{token}/1", **request_)

    assert answer.status == {"open": "200 OK", "click": "302 Found"}[kind]
    assert spooled(app) == []


@on_one_engine
def test_head_has_the_headers_without_the_picture(ask):
    path = f"/o/{HIT_TOKEN.make(3, 7)}"

    head, get = ask(path, method="HEAD"), ask(path)

    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


@on_one_engine
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/o/{}", "/c/{}/1"])
def test_other_methods_are_not_ours(app, ask, edition, method, path):
    answer = ask(path.format(HIT_TOKEN.make(edition, 7)), method=method)

    assert answer.status == "404 NOT FOUND"
    assert spooled(app) == []


# --- clicks ----------------------------------------------------------------------------------------


def test_a_click_leads_to_the_stored_address(ask, edition):
    answer = ask(f"/c/{HIT_TOKEN.make(edition, 7)}/1")

    assert (answer.status, answer.body) == ("302 Found", b"")
    assert (
        answer.headers == {"Location": "https://kirja.example/a?b=1&c=2#d", "Content-Length": "0"} | PRIVATE
    )


def test_a_click_waits_in_the_spool(app, ask, edition):
    ask(f"/c/{HIT_TOKEN.make(edition, 7)}/2")

    assert spooled(app) == [[NOW_MS, "click", edition, 7, 2, "203.0.113.7", THUNDERBIRD]]


@on_one_engine
@pytest.mark.parametrize(
    "number",
    [
        "",
        "3",
        "-1",
        "x",
        "1.0",
        "1/",
        "1/2",
        "10000",
        "1" * 10_000,
        "\xb2",
        "\xef\xbc\x91",
        "\xff",
        "1\0",
    ],
)
def test_a_number_that_the_edition_has_not_leads_nowhere(app, ask, edition, number):
    answer = ask(f"/c/{HIT_TOKEN.make(edition, 7)}/{number}")

    assert answer.status == "404 NOT FOUND"
    assert spooled(app) == []


@on_one_engine
@forgeries
def test_a_bad_token_leads_nowhere(app, ask, edition, forged):
    answer = ask(f"/c/{forged()}/1")

    assert answer.status == "404 NOT FOUND"
    assert spooled(app) == []


@on_one_engine
def test_an_unknown_edition_leads_nowhere(app, ask, edition):
    answer = ask(f"/c/{HIT_TOKEN.make(edition + 1, 7)}/1")

    assert answer.status == "404 NOT FOUND"
    assert spooled(app) == []


@on_one_engine
@pytest.mark.parametrize("address", ["https://paha.example/", "//paha.example", "1/https://paha.example/"])
def test_nothing_leads_to_an_address_in_the_link(ask, edition, address):
    answer = ask(f"/c/{HIT_TOKEN.make(edition, 7)}/{address}")

    assert ("Location" in answer.headers, b"paha.example" in answer.body) == (False, False)


@on_one_engine
def test_a_query_changes_nothing(ask, edition):
    answer = ask(f"/c/{HIT_TOKEN.make(edition, 7)}/2", query="url=https://paha.example/&n=1")

    assert answer.headers["Location"] == "https://kirja.example/"


@on_one_engine
def test_a_link_asked_for_too_early_is_found_later(ask, edition, make_campaign):
    early = ask(f"/c/{HIT_TOKEN.make(edition + 1, 7)}/1")
    (made,) = make_campaign().editions
    store_links(made.id, ["https://kirja.example/uusi"])
    db.session.commit()

    later = ask(f"/c/{HIT_TOKEN.make(made.id, 7)}/1")

    assert (made.id, early.status) == (edition + 1, "404 NOT FOUND")
    assert later.headers["Location"] == "https://kirja.example/uusi"


# --- when things are away --------------------------------------------------------------------------


@pytest.fixture
def lose_database(real_app, tmp_path) -> Callable[[], None]:
    def lose() -> None:
        db.session.remove()
        db.engine.dispose()
        for path in tmp_path.glob("newsletter.db*"):
            path.rename(path.with_suffix(".gone"))

    return lose


@on_one_engine
def test_a_link_once_followed_works_without_the_database(app, ask, edition, lose_database):
    ask(f"/c/{HIT_TOKEN.make(edition, 7)}/1")
    lose_database()

    answer = ask(f"/c/{HIT_TOKEN.make(edition, 8)}/2")

    assert (answer.status, answer.headers["Location"]) == ("302 Found", "https://kirja.example/")
    assert [hit[3:5] for hit in spooled(app)] == [[7, 1], [8, 2]]


@on_one_engine
def test_a_link_not_yet_known_asks_to_come_back_when_the_database_is_away(ask, edition, lose_database):
    lose_database()

    answer = ask(f"/c/{HIT_TOKEN.make(edition, 7)}/1")

    assert (answer.status, answer.headers["Retry-After"]) == ("503 Service Unavailable", "30")


@on_one_engine
def test_a_click_never_waits_for_a_writer(ask, edition):
    with ThreadPoolExecutor(1) as pool, db.engine.connect() as writer:
        writer.execute(sa.text("SELECT 1"))  # begins, and so takes the write lock
        answer = pool.submit(ask, f"/c/{HIT_TOKEN.make(edition, 7)}/2").result(2)

    assert answer.headers["Location"] == "https://kirja.example/"


@on_one_engine
def test_a_spool_that_cannot_be_written_keeps_nobody_from_reading(app, ask, edition):
    spool_folder(app).write_text("in the way")

    picture, click = ask(f"/o/{HIT_TOKEN.make(edition, 7)}"), ask(f"/c/{HIT_TOKEN.make(edition, 7)}/1")
    spool_folder(app).unlink()

    assert (picture.status, click.status) == ("200 OK", "302 Found")
    assert gateway_of(app).spool.lost == 2


# --- what is kept ----------------------------------------------------------------------------------


@on_one_engine
def test_a_long_name_is_cut(app, ask):
    ask(f"/o/{HIT_TOKEN.make(3, 7)}", user_agent="ä" * 1000)

    assert [hit[6] for hit in spooled(app)] == ["ä" * 400]


@on_one_engine
@pytest.mark.parametrize(("hops", "ip"), [(0, "203.0.113.7"), (1, "198.51.100.9"), (2, "192.0.2.1")])
def test_a_forwarded_address_is_believed_as_far_as_proxies_are_ours(app, make_app, hops, ip):
    behind = make_app(proxy_hops=hops)

    asker(behind)(f"/o/{HIT_TOKEN.make(3, 7)}", x_forwarded_for="6.6.6.6, 192.0.2.1, 198.51.100.9")

    assert [hit[5] for hit in spooled(behind)] == [ip]


@on_one_engine
@pytest.mark.parametrize("path", ["/o", "/c", "/o/", "/x/abc", "/"])
def test_all_else_is_for_the_application(app, ask, path):
    ask(path)

    assert spooled(app) == []


@on_one_engine
def test_a_browser_gets_the_picture_through_the_whole_application(client):
    answer = client.get(f"/o/{HIT_TOKEN.make(3, 7)}")

    assert (answer.status_code, answer.data, answer.headers.getlist("Set-Cookie")) == (200, GIF, [])


# --- as the requirements have it -------------------------------------------------------------------


@on_one_engine
@pytest.mark.parametrize(
    "headers",
    [
        {"if_none_match": "*"},
        {"if_none_match": '"abc"'},
        {"if_modified_since": "Tue, 03 Mar 2099 09:30:00 GMT"},
        {"range": "bytes=0-0"},
        {"range": "bytes=-1"},
        {"range": "nonsense"},
        {"if_range": '"abc"', "range": "bytes=5-"},
        {"cookie": "staff=1"},
    ],
    ids=str,
)
def test_tr9_whatever_a_request_asks_for_the_picture_is_whole_and_kept_by_nobody(app, ask, headers):
    answer = ask(f"/o/{HIT_TOKEN.make(3, 7)}", **headers)

    assert (answer.status, answer.body) == ("200 OK", GIF)
    assert answer.headers == {"Content-Type": "image/gif", "Content-Length": "43"} | PRIVATE
    assert len(spooled(app)) == 1


@on_one_engine
def test_tr9_a_head_is_answered_as_the_get_would_be_without_its_body(app, ask, edition):
    picture, click = (
        ask(f"/o/{HIT_TOKEN.make(3, 7)}", "HEAD"),
        ask(f"/c/{HIT_TOKEN.make(edition, 7)}/1", "HEAD"),
    )

    assert (picture.status, picture.body, picture.headers["Content-Length"]) == ("200 OK", b"", "43")
    assert (click.status, click.headers["Location"]) == ("302 Found", "https://kirja.example/a?b=1&c=2#d")
    assert spooled(app) == []


@on_one_engine
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sec_purpose", "prefetch"), ("sec_purpose", "prefetch;prerender"), ("purpose", "Prefetch"),
        ("x_purpose", "preview"), ("x_moz", "prefetch"), ("sec_purpose", "PREFETCH;anonymous-client-ip"),
    ],
)  # fmt: skip
def test_tr7_what_is_fetched_ahead_is_answered_and_never_counts(app, ask, edition, name, value):
    answers = [
        ask(f"/o/{HIT_TOKEN.make(edition, 7)}", **{name: value}), ask(f"/c/{HIT_TOKEN.make(edition, 7)}/1", **{name: value}),
    ]  # fmt: skip

    assert [answer.status for answer in answers] == ["200 OK", "302 Found"]
    assert spooled(app) == []


@on_one_engine
@pytest.mark.parametrize("bit", range(7))
def test_a_token_with_any_one_bit_changed_is_worth_nothing(app, ask, edition, bit):
    genuine = HIT_TOKEN.make(edition, 7)

    for place, letter in enumerate(genuine):
        forged = genuine[:place] + chr(ord(letter) ^ (1 << bit)) + genuine[place + 1 :]
        assert ask(f"/o/{forged}").body == GIF
        assert ask(f"/c/{forged}/1").status == "404 NOT FOUND"

    assert spooled(app) == []


@on_one_engine
@pytest.mark.parametrize(
    ("stored", "sent_to"),
    [
        ("https://kirja.example/ä?ö=å#ü", "https://kirja.example/%C3%A4?%C3%B6=%C3%A5#%C3%BC"),
        ("https://kirja.example/a%20b?c=%26", "https://kirja.example/a%20b?c=%26"),
        ("https://kirja.example/\r\nSet-Cookie: a=b", "https://kirja.example/%0D%0ASet-Cookie:%20a=b"),
        ("HTTP://kirja.example/", "HTTP://kirja.example/"),
    ],
)
def test_tr5_a_click_leads_to_the_stored_address_in_letters_a_header_can_hold(
    real_app, ask, make_campaign, stored, sent_to
):
    (made,) = make_campaign().editions
    store_links(made.id, [stored])
    db.session.commit()
    db.session.rollback()

    assert (
        ask(f"/c/{HIT_TOKEN.make(made.id, 7)}/1", query="u=https://evil.example").headers["Location"]
        == sent_to
    )


@on_one_engine
@pytest.mark.parametrize(
    "stored", ["javascript:alert(1)", "mailto:a@kirja.example", "//evil.example", "ftp://a.example/"]
)
def test_tr5_nothing_but_http_is_redirected_to(app, real_app, ask, make_campaign, stored):
    (made,) = make_campaign().editions
    store_links(made.id, [stored])
    db.session.commit()
    db.session.rollback()

    assert ask(f"/c/{HIT_TOKEN.make(made.id, 7)}/1").status == "404 NOT FOUND"
    assert spooled(app) == []


@on_one_engine
def test_the_link_nobody_sees_leads_nowhere_and_is_noted(app, ask):
    answer = ask(f"/c/{HIT_TOKEN.make(3, 7)}/0")

    assert (answer.status, answer.body, "Location" in answer.headers) == ("204 No Content", b"", False)
    assert spooled(app)[0][1:5] == ["click", 3, 7, 0]


@on_one_engine
def test_tr2_a_hit_of_everybody_has_nothing_in_it_that_points_to_anyone(app, ask):
    ask(f"/o/{HIT_TOKEN.make(3, 0)}")

    assert spooled(app) == [[1772528400000, "open", 3, 0, None, "", "", "human"]]


@on_one_engine
@pytest.mark.parametrize(
    ("hops", "forwarded", "ip"),
    [(1, "2001:db8::7", "2001:db8::7"), (1, "[2001:db8::7]:4711", "2001:db8::7"), (1, "192.0.2.1:51234", "192.0.2.1"),
     (1, "::ffff:192.0.2.1", "192.0.2.1"), (1, "unknown", None), (1, "x" * 500, None)],
)  # fmt: skip
def test_an_address_is_written_one_way(app, make_app, hops, forwarded, ip):
    behind = make_app(proxy_hops=hops)

    asker(behind)(f"/o/{HIT_TOKEN.make(3, 7)}", x_forwarded_for=forwarded)

    ((*_hit, given, _agent),) = spooled(behind)
    assert (normalize_ip(str(given)), len(str(given)) <= 64) == (ip, True)


@on_one_engine
def test_what_a_full_disk_lost_is_counted_over_processes_and_their_lives(app, make_app, ask, edition):
    spool_folder(app).write_text("in the way")
    for _time in range(3):
        ask(f"/o/{HIT_TOKEN.make(edition, 7)}")
    spool_folder(app).unlink()

    assert lost_hits(Path(app.instance_path)) == 3
    assert LostHits(Path(app.instance_path) / "hits_lost").read() == 3
