"""An account begins with a link that works once."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.staff.accounts import AccountExists, has_staff, invite
from newsletter.staff.models import Role, Staff, StaffInvitation
from tests.subscribers.pages import Page
from tests.support.clock import NOW

USED = "Kutsu ei ole enää voimassa. Pyydä uusi."
LONG_ENOUGH = "neljä sanaa riviin"


@pytest.fixture
def first(app):
    """Invite someone and return the path of the link; nobody in particular without an address."""

    def path(address: str | None = "anna@kirjakauppa.example", role: Role = Role.VIEWER) -> str:
        token = invite(role, address=address, now=NOW, actor="console")
        db.session.commit()
        return f"/staff/first/{token}"

    return path


def accounts() -> list[tuple[str, Role]]:
    found = [(row.email, row.role) for row in db.session.scalars(sa.select(Staff).order_by(Staff.id))]
    db.session.commit()
    return found


# --- the way in ------------------------------------------------------------------------------------


def test_the_link_makes_the_account_and_logs_in(client, submit, first):
    response = submit(first(role=Role.EDITOR), password=LONG_ENOUGH)

    assert (response.status_code, response.location) == (303, "/staff/campaigns")
    assert accounts() == [("anna@kirjakauppa.example", Role.EDITOR)]
    assert Page(client.get("/staff/campaigns")).texts(".who a.quiet") == ["anna@kirjakauppa.example"]


def test_the_very_first_account_chooses_its_address(submit, first):
    submit(first(None, Role.ADMIN), address=" Anna@Kirjakauppa.Example ", password=LONG_ENOUGH)

    assert accounts() == [("anna@kirjakauppa.example", Role.ADMIN)]
    assert has_staff() is True


@pytest.mark.parametrize(
    "address", ["anna@kirjakauppa.example", "Anna@Pöytä.example", "anna@xn--pyt-sla1g.example"]
)
def test_the_account_opens_with_the_address_that_made_it(submit, first, log_in, log_out, address):
    submit(first(None), address=address, password=LONG_ENOUGH)
    log_out()

    assert log_in(address, LONG_ENOUGH).location == "/staff/"


def test_the_password_is_kept_as_argon2id(submit, first):
    submit(first(), password=LONG_ENOUGH)

    assert db.session.scalars(sa.select(Staff)).one().password.startswith("$argon2id$")


def test_the_link_is_kept_as_a_hash(first):
    token = first().removeprefix("/staff/first/")

    kept = db.session.scalars(sa.select(StaffInvitation)).one()
    assert (len(token), len(kept.token_hash), token in kept.token_hash) == (32, 64, False)


def test_the_log_tells_who_was_invited_by_whom_without_an_address(submit, first):
    submit(first(role=Role.PRIVACY), password=LONG_ENOUGH)

    account = db.session.scalars(sa.select(Staff)).one()
    entries = db.session.scalars(sa.select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.actor, entry.action, entry.object, entry.details) for entry in entries] == [
        ("console", "staff invited", None, {"role": "privacy"}),
        (f"staff:{account.id}", "staff account made", f"staff:{account.id}", None),
    ]


# --- once, and for a day ---------------------------------------------------------------------------


def test_the_link_works_once(submit, first):
    path = first(None)
    submit(path, address="anna@kirjakauppa.example", password=LONG_ENOUGH)

    page = Page(
        submit("/staff/campaigns", to=path, address="kalle@kirjakauppa.example", password=LONG_ENOUGH)
    )

    assert (page.status, page.texts("[role=status] p")) == (410, [USED])
    assert accounts() == [("anna@kirjakauppa.example", Role.VIEWER)]


def test_the_page_of_a_used_link_says_so(client, submit, first):
    path = first()
    submit(path, password=LONG_ENOUGH)

    page = Page(client.get(path))

    assert (page.status, page.texts("[role=status] p")) == (410, [USED])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_looking_at_the_link_uses_nothing_up(client, submit, first, method):
    path = first()

    client.open(path, method=method)

    assert submit(path, password=LONG_ENOUGH).status_code == 303


def test_the_link_works_for_24_hours(client, first, clock):
    path = first()

    clock.shift(timedelta(hours=23, minutes=59))
    assert Page(client.get(path)).heading == "Luo käyttäjätunnus"

    clock.shift(timedelta(minutes=1))
    page = Page(client.get(path))
    assert (page.status, page.texts("[role=status] p")) == (410, [USED])


def test_a_newer_link_replaces_the_older(client, first):
    older, newer = first(), first()

    assert [client.get(path).status_code for path in (older, newer)] == [410, 200]


def test_a_link_for_someone_else_stays(client, first):
    annas, _kalles = first("anna@kirjakauppa.example"), first("kalle@kirjakauppa.example")

    assert client.get(annas).status_code == 200


def test_the_link_for_anybody_ends_with_the_first_account(client, first, make_staff):
    path = first(None, Role.ADMIN)
    make_staff()

    page = Page(client.get(path))

    assert (page.status, page.texts("[role=status] p")) == (410, [USED])


@pytest.mark.parametrize("token", ["forged", "x" * 32, "ä"])
def test_a_link_nobody_made_is_refused(client, token):
    page = Page(client.get(f"/staff/first/{token}"))

    assert (page.status, page.texts("[role=status] p")) == (410, [USED])


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["", "yksitoista!", "ä" * 11])
def test_a_short_password_is_refused_at_its_field(submit, first, password):
    page = Page(submit(first(), password=password))

    assert (page.status, page.errors) == (
        422,
        {"password": "Valitse vähintään 12 merkin pituinen salasana."},
    )
    assert accounts() == []


def test_a_password_is_as_long_as_it_looks(submit, first):
    eleven_letters_in_two_parts_each = "a\u0308" * 11

    assert submit(first(), password=eleven_letters_in_two_parts_each).status_code == 422


@pytest.mark.parametrize("password", ["kolmetoista k", "neljä sanaa riviin", "🔑🗝🔒🚪 neljä kuvaa"])
def test_no_kind_of_character_is_asked_for(submit, first, password):
    assert submit(first(), password=password).status_code == 303


def test_after_a_refusal_the_link_still_works(submit, first):
    path = first()
    submit(path, password="lyhyt")

    assert submit(path, password=LONG_ENOUGH).status_code == 303


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "anna@",
        "@kirjakauppa.example",
        "anna@kirjakauppa",
        "anna @kirjakauppa.example",
        "anna\x00@kirjakauppa.example",
    ],
)
def test_an_address_nobody_could_log_in_with_is_refused_at_its_field(submit, first, address):
    page = Page(submit(first(None), address=address, password=LONG_ENOUGH))

    assert (page.status, page.errors) == (
        422,
        {"address": "Anna sähköpostiosoite muodossa nimi@esimerkki.fi."},
    )
    assert accounts() == []


def test_an_address_that_has_an_account_is_not_invited(make_staff):
    make_staff("anna@kirjakauppa.example")

    with pytest.raises(AccountExists):
        invite(Role.ADMIN, address="anna@kirjakauppa.example", now=NOW, actor="console")


def test_an_account_made_meanwhile_is_left_as_it_is(submit, first, make_staff):
    path = first("anna@kirjakauppa.example", Role.ADMIN)
    make_staff("anna@kirjakauppa.example", Role.VIEWER)

    page = Page(submit(path, password=LONG_ENOUGH))

    assert (page.status, accounts()) == (422, [("anna@kirjakauppa.example", Role.VIEWER)])


def test_an_invitation_makes_no_account_for_another_address(submit, first):
    submit(first("anna@kirjakauppa.example"), address="kalle@kirjakauppa.example", password=LONG_ENOUGH)

    assert accounts() == [("anna@kirjakauppa.example", Role.VIEWER)]


def test_without_its_token_the_form_is_refused(client, first):
    path = first()

    page = Page(client.post(path, data={"password": LONG_ENOUGH}))

    assert (page.status, page.heading, accounts()) == (400, "Tämä ei onnistunut", [])
