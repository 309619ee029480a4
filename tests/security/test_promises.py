"""What no page of ours may do to its reader (PP-1, SS-8), and what no act of staff may do unseen (SS-6)."""

import re
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from selectolax.lexbor import LexborHTMLParser

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.privacy.models import RequestKind
from newsletter.privacy.requests import register
from newsletter.staff.models import Role, Staff
from newsletter.subscribers import links
from tests.staff.conftest import sign_in_as
from tests.subscribers.pages import Page
from tests.support.clock import NOW

LOADS = "script[src], link[rel=stylesheet], link[rel=icon], img[src], iframe[src], video[src], audio[src]"


def foreign(html: str) -> list[str]:
    """Return what a page loads from elsewhere, and what of it would run or look as its author likes."""
    page = LexborHTMLParser(html)
    addresses = [node.attributes.get("src") or node.attributes.get("href") or "" for node in page.css(LOADS)]
    found = [address for address in addresses if urlsplit(address).netloc not in {"", "localhost"}]
    found += [node.html or "" for node in page.css("script:not([src]), style")]
    return found + re.findall(r"<[^>]+\s(?:style|on[a-z]+)=\"[^\"]*\"", html)


@pytest.mark.parametrize("who", ["nobody", "administrator"])
def test_pp1_and_ss8_no_page_loads_anything_from_elsewhere_or_runs_anything_inline(
    app, client, request, routes, make_list, who
):
    make_list("oma")
    if who == "administrator":
        request.getfixturevalue("signed_in")
    found, looked = {}, 0
    for method, path in routes("x"):
        # A newsletter in its frame brings its own styles, and no scripts: the sandbox sees to that.
        if method != "GET" or "/letter/" in path or "/preview/" in path:
            continue
        answer = client.get(path)
        if answer.mimetype == "text/html":
            looked += 1
            if wrong := foreign(answer.text):
                found[path] = wrong

    assert (found, looked > 20) == ({}, True)


def test_pp1_pages_of_links_set_no_cookie(app, client, make_list, make_subscriber):
    person = make_subscriber(lists=[make_list()])
    details = links.PREFERENCES.make(person.id)

    answers = [
        client.get(path) for path in ("/", "/subscribe", "/privacy", f"/preferences/{details}", "/archive")
    ]

    assert [answer.headers.getlist("Set-Cookie") for answer in answers] == [[]] * len(answers)
    assert answers[3].status_code == 200


def test_ss8_a_fault_of_ours_says_nothing_of_itself(make_app):
    app = make_app()
    app.config["PROPAGATE_EXCEPTIONS"] = False

    def broken() -> str:
        raise RuntimeError("kanarialintu")

    for path in ("/broken", "/api/v1/broken"):
        app.add_url_rule(path, path, broken)
    with app.app_context():
        page, document = [app.test_client().get(path) for path in ("/broken", "/api/v1/broken")]

    assert (page.status_code, Page(page).heading) == (500, "Tämä ei onnistunut")
    assert (document.status_code, document.mimetype) == (500, "application/problem+json")
    assert not re.search("kanarialintu|Traceback|RuntimeError", page.text + document.text)


@pytest.fixture
def person(make_list, make_subscriber):
    made = make_subscriber("meri@example.com", lists=[make_list("oma")])
    register.record_request(
        RequestKind.OBJECTION, "meri@example.com", channel="mail", language="fi", now=NOW, actor="staff:1",
        scopes=["research"],
    )  # fmt: skip
    db.session.commit()
    return made


ADDRESS = {"address": "meri@example.com"}
BREACH = {"began_at": "2026-03-01T10:00", "ended_at": "2026-03-05T11:00"}
#: Reads of people, exports, answers, ends: as staff make them.
ACTS = [
    ("GET", "/staff/subscribers/", {}),
    ("GET", "/staff/subscribers/{person}", {}),
    ("GET", "/staff/privacy/requests/1", {}),
    ("GET", "/staff/privacy/requests/1/letter", {}),
    ("POST", "/staff/subscribers/end", {"person": "{person}", "sure": "yes"}),
    ("POST", "/staff/subscribers/", {"text": "meri"}),
    ("POST", "/staff/proof", ADDRESS),
    ("POST", "/staff/readers", ADDRESS),
    ("POST", "/staff/privacy/copy", ADDRESS | {"format": "json"}),
    ("POST", "/staff/privacy/audit/export", {}),
    ("POST", "/staff/privacy/incidents/affected", BREACH),
    ("POST", "/staff/privacy/requests/1/carry-out", {"reply_by": "print"}),
]


def test_ss6_every_look_at_a_person_and_every_act_leaves_a_line_of_who_did_it(client, person, make_privacy):
    actor, token = make_privacy
    unseen = {}
    for method, path, fields in ACTS:
        number = str(person.id)
        form = {"csrf_token": token} | {name: text.format(person=number) for name, text in fields.items()}
        before = lines_of(actor)
        answer = client.open(
            path.format(person=number), method=method, data=form if method == "POST" else None
        )
        if answer.status_code >= 400 or lines_of(actor) == before:
            unseen[path] = answer.status_code

    assert unseen == {}


@pytest.fixture
def make_privacy(client, signed_in):
    account = db.session.scalars(sa.select(Staff)).one()
    account.role = Role.PRIVACY
    db.session.commit()
    sign_in_as(client, account)
    return f"staff:{account.id}", str(Page(client.get("/staff/account/")).value("csrf_token"))


def lines_of(actor: str) -> int:
    counted = sa.select(sa.func.count()).select_from(AuditEntry).where(AuditEntry.actor == actor)
    return db.session.scalar(counted) or 0
