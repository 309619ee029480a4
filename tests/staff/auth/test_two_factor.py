"""SS-1: the second step of signing in."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.staff import accounts
from newsletter.staff.auth import two_factor
from newsletter.staff.models import Role, Staff
from tests.staff.conftest import sign_in_as
from tests.subscribers.pages import Page
from tests.support.apps import at_once

WRONG = {"code": "Koodi on väärin tai jo käytetty. Odota seuraavaa."}


@pytest.fixture
def anna(make_staff):
    """An account with a second step."""
    secret = two_factor.get_authenticator().generate_totp_secret()
    return make_staff(role=Role.ADMIN, totp_secret=secret)


def code_of(account) -> str:
    return two_factor.get_authenticator().generate_totp_password(account.totp_secret)


def test_the_password_alone_opens_nothing(client, anna, log_in):
    response = log_in()

    assert (response.status_code, response.location) == (303, "/staff/login/code")
    assert client.get("/staff/campaigns").status_code == 302


def test_the_code_leads_on_to_the_page_asked_for(client, anna, log_in, submit):
    log_in(query="?next=/staff/funnel")

    assert submit("/staff/login/code", code=code_of(anna)).location == "/staff/funnel"
    assert client.get("/staff/campaigns").status_code == 200


def test_the_same_code_is_not_taken_twice(client, anna, log_in, submit, log_out):
    code = code_of(anna)
    log_in()
    submit("/staff/login/code", code=code)
    log_out()
    log_in()

    page = Page(submit("/staff/login/code", code=code))

    assert (page.status, page.errors) == (422, WRONG)
    assert client.get("/staff/campaigns").status_code == 302


def test_an_earlier_code_is_not_taken_after_a_later_one(anna, log_in, submit, log_out, clock):
    earlier = code_of(anna)
    clock.shift(timedelta(seconds=30))
    log_in()
    submit("/staff/login/code", code=code_of(anna))
    log_out()
    log_in()

    assert submit("/staff/login/code", code=earlier).status_code == 422


def test_of_two_at_once_one_gets_in_with_a_code(real_app, now, make_staff):
    secret = two_factor.get_authenticator().generate_totp_secret()
    number = make_staff(totp_secret=secret).id
    code = two_factor.get_authenticator().generate_totp_password(secret)

    def enter_code() -> str:
        account = db.session.get_one(Staff, number, with_for_update=True)
        two_factor.verify_code(account, code, now=now)
        db.session.commit()
        return "in"

    answers = at_once(real_app, enter_code, enter_code)

    assert sorted(str(answer) for answer in answers if answer == "in") == ["in"]


@pytest.mark.parametrize("code", ["", "000000", "12345", "abcdef", "١٢٣٤٥٦", "\x00", "9" * 5000])
def test_a_wrong_code_is_refused_at_its_field(anna, log_in, submit, code):
    log_in()

    assert Page(submit("/staff/login/code", code=code)).errors == WRONG


def test_nobody_comes_to_the_code_without_the_password(client, anna):
    assert client.get("/staff/login/code").location == "/staff/login"


def test_ten_minutes_after_the_password_it_begins_anew(client, anna, log_in, clock):
    log_in()
    clock.shift(timedelta(minutes=10))

    assert client.get("/staff/login/code").location == "/staff/login"


def test_after_five_wrong_codes_one_begins_anew_with_the_password(client, anna, log_in, submit):
    log_in()
    answers = [submit("/staff/login/code", code=f"{number:06}").status_code for number in range(5)]

    assert answers == [422] * 4 + [429]
    assert client.get("/staff/login/code").location == "/staff/login"


def test_a_kept_cookie_has_no_more_tries_than_the_browser(client, anna, log_in, submit):
    log_in()
    kept = client.get_cookie("staff").value
    for number in range(5):
        submit("/staff/login/code", code=f"{number:06}")
    client.set_cookie("staff", kept)

    assert submit("/staff/login/code", code=code_of(anna)).status_code == 429
    assert client.get("/staff/campaigns").status_code == 302


def from_network(client, number: int) -> None:
    client.environ_base["REMOTE_ADDR"] = f"2001:db8:7:{number:x}::1"


def guess_from_many_networks(client, log_in, submit, count: int) -> list[int]:
    """Enter wrong codes after the right password, each from a network of its own."""
    answers = []
    for number in range(count):
        from_network(client, number)
        log_in()
        answers.append(submit("/staff/login/code", code=f"{number:06}").status_code)
    return answers


def test_codes_guessed_from_everywhere_are_counted_together(client, anna, log_in, submit):
    answers = guess_from_many_networks(client, log_in, submit, 21)

    assert answers == [422] * 20 + [429]
    log_in()
    assert submit("/staff/login/code", code=code_of(anna)).status_code == 429


def test_guesses_from_elsewhere_do_not_keep_the_owner_out(client, anna, log_in, submit, log_out):
    log_in()
    submit("/staff/login/code", code=code_of(anna))
    log_out()
    home = client.environ_base["REMOTE_ADDR"]
    anna.totp_counter = None
    db.session.commit()
    guess_from_many_networks(client, log_in, submit, 21)

    client.environ_base["REMOTE_ADDR"] = home
    log_in()
    assert submit("/staff/login/code", code=code_of(anna)).location == "/staff/"


def test_each_wrong_code_is_in_the_audit_log_and_the_owner_is_told_once_a_day(anna, log_in, submit):
    for tries in (5, 4):
        log_in()
        for number in range(tries):
            submit("/staff/login/code", code=f"{number:06}")

    acts = db.session.scalars(
        sa.select(AuditEntry.action).where(AuditEntry.object == f"staff:{anna.id}")
    ).all()
    assert acts.count("code refused") == 8  # the ninth is not even looked at
    mail = db.session.scalars(sa.select(OutboxMail)).one()
    assert (mail.template, mail.address, mail.context["what"]) == ("staff_changed", anna.email, "wrong_codes")


def test_a_new_password_ends_a_login_that_is_half_done(client, anna, log_in, now):
    log_in()
    accounts.change_password(anna, "uusi salasana on pitkä", now=now)
    db.session.commit()

    assert client.get("/staff/login/code").location == "/staff/login"


def test_a_recovery_code_works_once(client, anna, log_in, submit, log_out):
    code = two_factor.generate_recovery_codes(anna)[0]
    db.session.commit()
    log_in()

    assert submit("/staff/login/code", code=code.upper()).location == "/staff/"
    log_out()
    log_in()
    assert submit("/staff/login/code", code=code).status_code == 422
    assert len(anna.recovery_hashes) == 7


def test_recovery_codes_are_kept_as_hashes(anna):
    codes = two_factor.generate_recovery_codes(anna)

    assert (len(codes), [len(kept) for kept in anna.recovery_hashes]) == (8, [64] * 8)
    assert not set(codes) & set(anna.recovery_hashes)


def test_setting_it_up_takes_a_first_code_and_shows_recovery_codes(client, enter, submit):
    account = enter()
    key = Page(client.get("/staff/account/second-step")).texts(".key")[0]
    with client.session_transaction() as session:
        secret = session["offered_secret"]
    assert key not in secret
    code = two_factor.get_authenticator().generate_totp_password(secret)

    assert Page(submit("/staff/account/second-step", code="000000")).errors == WRONG
    page = Page(submit("/staff/account/second-step", code=code))

    assert (page.status, page.heading, len(page.texts(".codes li"))) == (200, "Varakoodit", 8)
    assert account.has_second_step
    assert code not in account.totp_secret


def test_the_secret_is_kept_encrypted(client, enter, submit):
    secret = two_factor.get_authenticator().generate_totp_secret()

    assert re.findall(r'"(enckey|key)"', secret) == ["enckey"]


@pytest.mark.parametrize("role", [Role.SENDER, Role.PRIVACY, Role.ADMIN])
def test_in_real_use_these_levels_set_it_up_before_anything_else(make_app, engine, make_staff, role):
    account = make_staff(role=role)
    client = make_app(base_url="https://news.example").test_client()
    client.environ_base["wsgi.url_scheme"] = "https"
    sign_in_with(client, account)

    assert client.get("/staff/campaigns").location == "/staff/account/second-step"
    assert client.get("/staff/account/second-step").status_code == 200


def sign_in_with(client, account) -> None:
    """Begin a session with an application of other settings."""
    with client.application.app_context():
        sign_in_as(client, account)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_levels_that_change_little_may_do_without(client, enter, role):
    enter(role=role)

    assert Page(client.get("/staff/campaigns")).texts(".reminder") == []


def test_on_a_trial_installation_it_may_wait_but_is_asked_for(client, enter):
    enter(role=Role.ADMIN)

    page = Page(client.get("/staff/campaigns"))

    assert (page.status, page.texts(".reminder")) == (
        200,
        ["Käyttäjätunnuksellasi ei ole vielä kirjautumisen toista vaihetta. Ota se käyttöön"],
    )


def test_a_new_secret_key_still_reads_what_the_old_one_wrote(make_app, app):
    secret = two_factor.get_authenticator().generate_totp_secret()
    code = two_factor.get_authenticator().generate_totp_password(secret)
    rotated = make_app(secret_key="a new key", secret_key_fallbacks="the secret key of the tests")

    with rotated.app_context():
        assert two_factor.get_authenticator().generate_totp_password(secret) == code
        newer = two_factor.get_authenticator().generate_totp_secret()
    lone = make_app(secret_key="a new key")
    with lone.app_context():
        assert two_factor.get_authenticator().generate_totp_password(newer).isdigit()
