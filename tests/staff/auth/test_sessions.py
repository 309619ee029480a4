"""SS-3: a session lives in the database, and ends there."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from newsletter.db import db
from newsletter.staff.accounts import change_role, close_account
from newsletter.staff.auth.sessions import delete_old_sessions
from newsletter.staff.models import Role, StaffInvitation, StaffSession
from tests.staff.conftest import PASSWORD, sign_in_as
from tests.subscribers.pages import Page
from tests.support.clock import NOW

PAGE = "/staff/campaigns"


def is_in(client) -> bool:
    return client.get(PAGE).status_code == 200


def cookie_of(client) -> str:
    cookie = client.get_cookie("staff")
    assert cookie is not None
    return cookie.value


def with_cookie(app, value: str) -> FlaskClient:
    other = app.test_client()
    other.set_cookie("staff", value)
    return other


def test_a_session_idle_for_half_an_hour_is_over(client, enter, clock):
    enter()

    clock.shift(timedelta(minutes=29))
    assert is_in(client)
    clock.shift(timedelta(minutes=29))
    assert is_in(client)
    clock.shift(timedelta(minutes=30))

    assert not is_in(client)


def test_a_session_of_twelve_hours_is_over_however_busy(client, enter, clock):
    enter()
    for _half_hour in range(28):
        clock.shift(timedelta(minutes=25))
        assert is_in(client)

    clock.shift(timedelta(minutes=20))

    assert not is_in(client)


def test_logging_in_changes_the_cookie_and_the_session(app, client, make_staff, log_in):
    make_staff()
    planted = FlaskClient(app)
    planted.get("/staff/login")
    fixed = planted.get_cookie("staff").value
    client.set_cookie("staff", fixed)

    log_in()

    assert cookie_of(client) != fixed
    assert not is_in(with_cookie(app, fixed))


def test_a_copied_cookie_is_worth_nothing_after_logging_out(app, client, make_staff, log_in, log_out):
    make_staff()
    log_in()
    copied = cookie_of(client)
    assert is_in(with_cookie(app, copied))

    log_out()

    assert not is_in(with_cookie(app, copied))


def test_a_copied_cookie_is_worth_nothing_without_its_row(app, client, enter):
    enter()
    with client.session_transaction() as session:
        session.pop("staff_session")

    assert not is_in(client)


def test_the_session_of_one_does_not_carry_the_account_of_another(client, enter, make_staff):
    enter()
    other = make_staff("kalle@kirjakauppa.example", Role.ADMIN)
    with client.session_transaction() as session:
        session["_user_id"] = other.fs_uniquifier

    assert not is_in(client)


def test_another_level_ends_the_session_at_once(client, enter, now):
    anna = enter(role=Role.PRIVACY)
    assert client.get("/staff/proof").status_code == 200

    change_role(anna, Role.VIEWER, now=now, actor="console")
    db.session.commit()

    assert not is_in(client)


def test_closing_an_account_ends_its_sessions_at_once(client, enter, now):
    anna = enter()

    close_account(anna, now=now, actor="console")
    db.session.commit()

    assert not is_in(client)


def test_a_changed_level_counts_even_in_a_session_that_goes_on(client, enter):
    anna = enter(role=Role.PRIVACY)

    anna.role = Role.VIEWER
    db.session.commit()

    assert client.get("/staff/proof").status_code == 403


def test_all_other_browsers_are_logged_out_by_one_button(app, client, enter, submit):
    anna = enter()
    other = app.test_client()
    sign_in_as(other, anna)

    response = submit("/staff/account/", to="/staff/account/sessions")

    assert (response.status_code, response.location) == (303, "/staff/account/")
    assert Page(client.get("/staff/account/")).texts("[role=status] p") == [
        "Kirjauduttu ulos muista selaimista: 1."
    ]
    assert (is_in(client), is_in(other)) == (True, False)


def test_the_page_lists_where_one_is_logged_in(client, make_staff, log_in):
    make_staff()
    client.environ_base["HTTP_USER_AGENT"] = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"
    log_in()

    rows = Page(client.get("/staff/account/")).texts("section table tbody th")

    assert rows == ["Firefox · Linux Tämä selain"]


def test_a_new_password_logs_other_browsers_out(app, client, enter, submit, log_out, log_in):
    anna = enter()
    other = app.test_client()
    sign_in_as(other, anna)

    response = submit(
        "/staff/account/", to="/staff/account/password", current=PASSWORD, password="viisi sanaa tähän riviin"
    )

    assert response.status_code == 303
    assert (is_in(client), is_in(other)) == (True, False)
    log_out()
    assert log_in(password=PASSWORD).status_code == 200
    assert log_in(password="viisi sanaa tähän riviin").status_code == 302


@pytest.mark.parametrize(
    ("current", "password", "errors"),
    [
        ("väärä salasana tässä", "viisi sanaa tähän riviin", {"current": "Salasana on väärin."}),
        (
            PASSWORD,
            "Salasana2026",
            {"password": "Tämä salasana on helppo arvata. Valitse muutama satunnainen sana."},
        ),
    ],
)
def test_a_new_password_takes_the_old_one_and_a_good_one(enter, submit, current, password, errors):
    enter()

    page = Page(submit("/staff/account/", to="/staff/account/password", current=current, password=password))

    assert (page.status, page.errors) == (422, errors)


def test_what_matters_asks_again_after_a_quarter_of_an_hour_and_then_goes_on(client, enter, submit, clock):
    enter(role=Role.ADMIN)
    clock.shift(timedelta(minutes=16))

    asked = Page(submit("/staff/accounts/", address="kalle@kirjakauppa.example", role="viewer"))
    assert (asked.status, asked.heading) == (403, "Vahvista henkilöllisyytesi")
    fields = {"address": "kalle@kirjakauppa.example", "role": "viewer"}
    assert {name: asked.value(name) for name in fields} == fields
    wrong = Page(submit("/staff/accounts/", proof="väärin tämäkin", **fields))
    assert (wrong.errors, wrong.value("role")) == ({"proof": "Salasana on väärin."}, "viewer")
    assert db.session.scalars(sa.select(StaffInvitation)).all() == []

    proved = submit("/staff/accounts/", proof=PASSWORD, **fields)

    assert (proved.status_code, proved.location) == (303, "/staff/accounts/")
    assert [row.address for row in db.session.scalars(sa.select(StaffInvitation))] == [fields["address"]]
    assert submit("/staff/accounts/", address="k@kirjakauppa.example", role="viewer").status_code == 303


@pytest.mark.parametrize("proof", [{}, {"proof": PASSWORD}])
def test_a_form_of_another_site_is_not_even_asked_about(client, enter, clock, proof):
    enter(role=Role.ADMIN)
    clock.shift(timedelta(minutes=16))

    answer = client.post("/staff/accounts/", data={"role": "viewer"} | proof)

    assert (answer.status_code, "csrf_token" in answer.text) == (400, False)
    assert client.get("/staff/overview.csv").status_code == 303


def test_a_file_asks_again_and_leads_back_to_the_page_it_stands_on(client, enter, submit, clock):
    enter()
    clock.shift(timedelta(minutes=16))

    asked = client.get("/staff/overview.csv", headers={"Referer": "http://localhost/staff/overview?days=30"})

    assert asked.location == "/staff/verify?next=/staff/overview?days%3D30"
    assert submit(asked.location, proof=PASSWORD).location == "/staff/overview?days=30"
    assert client.get("/staff/overview.csv").mimetype == "text/csv"


def test_proving_who_one_is_never_leads_to_another_site(enter, submit):
    enter()

    assert submit("/staff/verify?next=https://paha.example/", proof=PASSWORD).location == "/staff/"


def test_who_has_not_undertaken_confidentiality_sees_nothing_before(client, enter, submit):
    anna = enter(undertaken_at=None, undertaking_version=None)

    assert client.get(PAGE).location == "/staff/undertaking"
    submit("/staff/undertaking")

    assert is_in(client)
    assert (anna.undertaken_at, anna.undertaking_version) == (NOW, 1)


def test_sessions_are_forgotten_after_90_days(enter, now):
    enter()

    assert (delete_old_sessions(now + timedelta(days=90)), delete_old_sessions(now + timedelta(days=91))) == (
        0,
        1,
    )
    assert db.session.scalars(sa.select(StaffSession)).all() == []
