"""SS-4: guessing is slow, and the owner is never locked out."""

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.ratelimit.limiter import client_key, hit, parse_rule
from newsletter.staff.auth import sessions, throttle
from tests.subscribers.pages import Page
from tests.support.clock import NOW

TOO_MANY = "Liian monta yritystä. Odota kymmenen minuuttia tai pyydä uusi salasana."


@pytest.fixture
def engine() -> str:
    return "sqlite"  # the counters are not in the database


def count(rule: str, *key: str) -> None:
    """Use up all that a rule lets through but one."""
    (item,) = parse_rule(rule)
    for _try in range(item.amount - 1):
        hit(rule, *key)


@pytest.fixture
def guess(client, log_in):
    """Try a wrong password from an address."""

    def at(ip: str, email: str = "anna@kirjakauppa.example", password: str = "väärä arvaus taas") -> int:
        client.environ_base["REMOTE_ADDR"] = ip
        return log_in(email, password).status_code

    return at


def test_the_ninth_wrong_try_is_not_even_looked_at(make_staff, guess, log_in):
    make_staff()

    assert [guess("192.0.2.7") for _try in range(9)] == [200] * 8 + [429]
    page = Page(log_in())
    assert (page.status, page.summary) == (429, [("#email", TOO_MANY)])


def test_someone_else_on_another_network_is_not_held_up(make_staff, guess, log_in, client):
    make_staff()
    for _try in range(9):
        guess("192.0.2.7")

    client.environ_base["REMOTE_ADDR"] = "198.51.100.2"

    assert log_in().status_code == 302


def test_a_flood_from_everywhere_does_not_lock_the_owner_out(make_staff, guess, log_in, client):
    anna = make_staff()
    sessions.create_session(anna, network="198.51.100.2", agent="", now=NOW)
    db.session.commit()
    count(throttle.LOGINS_PER_ACCOUNT, "login", throttle._hash_email(anna.email))

    assert [guess("203.0.113.7"), guess("203.0.113.8")] == [200, 429]
    client.environ_base["REMOTE_ADDR"] = "203.0.113.200"
    assert log_in().status_code == 429  # the right password, from nowhere that she has been
    client.environ_base["REMOTE_ADDR"] = "198.51.100.2"
    assert log_in().status_code == 302


def test_an_address_without_an_account_is_held_up_just_as_soon(guess):
    assert [guess("192.0.2.7", "kalle@kirjakauppa.example") for _try in range(9)] == [200] * 8 + [429]


def test_many_accounts_tried_from_one_network_are_held_up(app, guess):
    with app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.7"}):
        count(throttle.LOGINS_PER_NETWORK, "login", client_key())

    answers = [guess("192.0.2.7", f"nimi{number}@kirjakauppa.example") for number in range(2)]
    assert answers == [200, 429]


def test_the_right_password_forgives_slips(make_staff, guess, log_in, log_out):
    make_staff()
    for _round in range(2):
        for _try in range(7):
            guess("192.0.2.7")
        assert log_in().status_code == 302
        log_out()


def test_a_refused_try_is_in_the_audit_log(make_staff, guess):
    anna = make_staff()
    guess("192.0.2.7")

    entry = db.session.scalars(sa.select(AuditEntry)).one()
    assert (entry.action, entry.object, entry.details) == ("sign-in refused", f"staff:{anna.id}", None)
