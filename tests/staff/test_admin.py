"""Administrators let people in, change what they may do, and close accounts; they never see a password."""

import json
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.staff.accounts import LastAdministrator, change_role, close_account
from newsletter.staff.models import Role, Staff
from tests.staff.conftest import sign_in_as
from tests.subscribers.pages import Page
from tests.support.apps import at_once


@pytest.fixture
def kalle(make_staff):
    return make_staff("kalle@kirjakauppa.example", Role.EDITOR)


@pytest.fixture
def do(client, enter, kalle, submit):
    """Be an administrator, and press a button on Kalle's page."""
    enter(role=Role.ADMIN)

    def press(what: str, **fields: str):
        return submit(f"/staff/accounts/{kalle.id}", to=f"/staff/accounts/{kalle.id}/{what}", **fields)

    return press


def acts() -> list[str]:
    return list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)))


def test_an_invitation_goes_out_by_mail_and_makes_an_account(app, enter, submit, send_due, outgoing):
    enter(role=Role.ADMIN)

    response = submit("/staff/accounts/", address="Kalle@Kirjakauppa.example", role="sender")

    assert response.location == "/staff/accounts/"
    mail = db.session.scalars(sa.select(OutboxMail)).one()
    link = urlsplit(mail.context["url"]).path
    send_due()
    assert str(outgoing.last["subject"]) == "Kutsu uutiskirjeen ylläpitoon"
    other = app.test_client()
    token = Page(other.get(link)).value("csrf_token")
    other.post(link, data={"csrf_token": token, "password": "neljä sanaa riviin"})
    made = db.session.scalars(sa.select(Staff).where(Staff.email == "kalle@kirjakauppa.example")).one()
    assert (made.role, made.undertaking_version) == (Role.SENDER, 1)


@pytest.mark.parametrize(
    ("address", "role", "field"),
    [
        ("ei osoite", "viewer", "address"),
        ("anna@kirjakauppa.example", "viewer", "address"),
        ("kalle@kirjakauppa.example", "owner", "role"),
        ("kalle@kirjakauppa.example", "", "role"),
    ],
)
def test_an_invitation_that_cannot_be_is_refused_at_its_field(enter, submit, address, role, field):
    enter(role=Role.ADMIN)

    page = Page(submit("/staff/accounts/", address=address, role=role))

    assert (page.status, [target for target, _text in page.summary]) == (
        422,
        ["#address" if field == "address" else "#role-viewer"],
    )


def test_a_new_level_is_given_and_recorded(do, kalle):
    assert do("level", role="sender").status_code == 303

    assert kalle.role is Role.SENDER
    entry = db.session.scalars(sa.select(AuditEntry)).one()
    assert (entry.action, entry.object, entry.details) == (
        "staff level changed",
        f"staff:{kalle.id}",
        {"before": "editor", "after": "sender"},
    )


def test_a_closed_account_lets_nobody_in_until_it_is_opened_again(do, kalle, app):
    other = app.test_client()
    sign_in_as(other, kalle)

    do("close")
    assert (kalle.active, other.get("/staff/campaigns").status_code) == (False, 302)
    do("reopen")

    assert kalle.active
    assert acts() == ["staff account closed", "staff account reopened"]


def test_a_reset_goes_to_the_person_and_the_page_shows_no_link(do, kalle):
    page = do("reset")

    mail = db.session.scalars(sa.select(OutboxMail)).one()
    assert (mail.address, mail.template) == ("kalle@kirjakauppa.example", "staff_reset")
    assert mail.context["url"] not in page.text


def test_a_lost_second_step_is_removed_and_its_owner_told(do, kalle):
    kalle.totp_secret = "anything"
    db.session.commit()

    do("second-step")

    assert kalle.has_second_step is False
    assert [mail.template for mail in db.session.scalars(sa.select(OutboxMail))] == ["staff_changed"]


@pytest.mark.parametrize("what", ["level", "close", "second-step", "sign-out"])
def test_nobody_does_these_to_themselves(enter, submit, what):
    anna = enter(role=Role.ADMIN)

    response = submit("/staff/accounts/", to=f"/staff/accounts/{anna.id}/{what}", role="viewer")

    assert response.status_code == 422
    assert (anna.role, anna.active) == (Role.ADMIN, True)


def test_the_last_administrator_stays(make_staff, now):
    anna = make_staff(role=Role.ADMIN)

    with pytest.raises(LastAdministrator):
        close_account(anna, now=now, actor="console")
    with pytest.raises(LastAdministrator):
        change_role(anna, Role.VIEWER, now=now, actor="console")


def test_two_administrators_cannot_close_each_other_at_once(real_app, make_staff, now):
    numbers = [make_staff(f"{name}@kirjakauppa.example", Role.ADMIN).id for name in ("anna", "kalle")]

    def close_one(number: int):
        close_account(db.session.get_one(Staff, number), now=now, actor="console")
        db.session.commit()

    at_once(real_app, *[lambda number=number: close_one(number) for number in numbers])

    assert db.session.scalar(sa.select(sa.func.count()).where(Staff.active)) == 1


@pytest.fixture
def run(app):
    """Run a command and return its exit code and its report."""

    def command(*words: str):
        db.session.commit()
        result = app.test_cli_runner().invoke(args=["staff", *words, "--json"])
        db.session.expire_all()
        return result.exit_code, json.loads(result.output) if result.exit_code == 0 else result.output

    return command


def test_the_command_line_helps_in_an_emergency(run, kalle, make_staff):
    make_staff(role=Role.ADMIN, totp_secret="lost")
    annas = "anna@kirjakauppa.example"

    assert run("forget-second-step", annas) == (0, {"address": annas, "second_step": False})
    assert run("role", kalle.email, "admin") == (0, {"address": kalle.email, "role": "admin"})
    assert run("close", annas) == (0, {"address": annas, "open": False})
    assert run("reopen", annas) == (0, {"address": annas, "open": True})
    assert run("sign-out", annas) == (0, {"address": annas, "ended": 0})
    code, report = run("reset", annas)
    assert (code, urlsplit(report["link"]).path.startswith("/staff/reset/")) == (0, True)
    assert [row["role"] for row in run("show")[1]] == ["admin", "admin"]


def test_the_command_line_refuses_in_a_sentence(run, make_staff):
    make_staff(role=Role.ADMIN)

    assert run("close", "anna@kirjakauppa.example")[0] == 1
    assert run("reset", "kuka@kirjakauppa.example") == (1, "Error: There is no such account.\n")
