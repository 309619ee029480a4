"""SS-4: a forgotten password: neutral answers, links that work once, and nobody else sets it."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.staff.auth import two_factor
from newsletter.staff.models import Role, StaffReset
from tests.staff.conftest import PASSWORD, sign_in_as
from tests.subscribers.pages import Page

NEW = "viisi sanaa tähän riviin"
USED = "Tämä linkki ei ole enää voimassa. Pyydä uusi salasana uudelleen."
SENT = "Jos osoitteella on käyttäjätunnus, lähetimme siihen linkin uuden salasanan valintaan. Linkki on voimassa tunnin."


def mails() -> list[str]:
    return [mail.template for mail in db.session.scalars(sa.select(OutboxMail).order_by(OutboxMail.id))]


@pytest.fixture
def ask(submit):
    """Ask for a link, and return its path from the mail."""

    def path(email: str = "anna@kirjakauppa.example") -> str:
        submit("/staff/forgot", email=email)
        mail = db.session.scalars(sa.select(OutboxMail).order_by(OutboxMail.id.desc()).limit(1)).one()
        return urlsplit((mail.context or {})["url"]).path

    return path


def test_the_link_sets_a_new_password_once(make_staff, ask, submit, log_in):
    make_staff()
    link = ask()

    response = submit(link, password=NEW)

    assert (response.status_code, response.location) == (303, "/staff/login")
    assert log_in(password=PASSWORD).status_code == 200
    assert log_in(password=NEW).status_code == 302


def test_a_used_link_is_over(client, make_staff, ask, submit):
    make_staff()
    link = ask()
    submit(link, password=NEW)

    page = Page(client.get(link))

    assert (page.status, page.texts("[role=status] p")) == (410, [USED])
    again = client.post(link, data={"csrf_token": csrf(client), "password": "kuusi muuta sanaa tässä"})
    assert again.status_code == 410


def csrf(client):
    return Page(client.get("/staff/login")).value("csrf_token")


@pytest.mark.parametrize("email", ["kalle@kirjakauppa.example", "ei osoite", "x" * 4000, "anna@\x00"])
def test_an_address_without_an_account_gets_the_same_answer_and_no_mail(make_staff, submit, email):
    make_staff()

    page = Page(submit("/staff/forgot", email=email))

    assert (page.status, page.texts("[role=status]")) == (200, [SENT])
    assert mails() == []


def test_a_closed_account_gets_no_mail(make_staff, submit):
    make_staff(active=False)

    assert Page(submit("/staff/forgot", email="anna@kirjakauppa.example")).texts("[role=status]") == [SENT]
    assert mails() == []


def test_the_fourth_wish_within_the_hour_sends_nothing_and_says_the_same(make_staff, submit):
    make_staff()

    pages = [Page(submit("/staff/forgot", email="anna@kirjakauppa.example")) for _wish in range(4)]

    assert [page.texts("[role=status]") for page in pages] == [[SENT]] * 4
    assert mails() == ["staff_reset"] * 3


def test_the_link_works_for_an_hour(client, make_staff, ask, clock):
    make_staff()
    link = ask()

    clock.shift(timedelta(minutes=59))
    assert client.get(link).status_code == 200
    clock.shift(timedelta(minutes=1))
    assert client.get(link).status_code == 410


def test_a_newer_link_ends_the_older(client, make_staff, ask):
    make_staff()
    older, newer = ask(), ask()

    assert [client.get(link).status_code for link in (older, newer)] == [410, 200]


def test_looking_at_the_link_changes_nothing(client, make_staff, ask, log_in):
    make_staff()

    client.get(ask())

    assert log_in().status_code == 302


def test_the_link_does_not_pass_the_second_step(client, make_staff, ask, submit, log_in):
    secret = two_factor.get_authenticator().generate_totp_secret()
    make_staff(totp_secret=secret, role=Role.ADMIN)

    submit(ask(), password=NEW)

    assert client.get("/staff/campaigns").status_code == 302
    assert log_in(password=NEW).location == "/staff/login/code"


def test_a_new_password_ends_every_session_and_tells_the_owner(app, make_staff, ask, submit):
    anna = make_staff()
    other = app.test_client()
    sign_in_as(other, anna)

    submit(ask(), password=NEW)

    assert other.get("/staff/campaigns").status_code == 302
    assert mails() == ["staff_reset", "staff_changed"]


def test_a_poor_password_leaves_the_link_working(make_staff, ask, submit):
    make_staff()
    link = ask()

    assert submit(link, password="lyhyt").status_code == 422
    assert submit(link, password=NEW).status_code == 303


def test_the_link_is_kept_as_a_hash(make_staff, ask):
    make_staff()
    token = ask().removeprefix("/staff/reset/")

    kept = db.session.scalars(sa.select(StaffReset)).one()
    assert (len(kept.token_hash), token in kept.token_hash) == (64, False)


def test_the_mails_are_written_in_finnish(make_staff, ask, submit, send_due, outgoing):
    make_staff()
    submit(ask(), password=NEW)

    send_due()

    assert [str(mail["subject"]) for mail in outgoing.all] == [
        "Valitse uusi salasana",
        "Käyttäjätunnuksesi tiedot ovat muuttuneet",
    ]
