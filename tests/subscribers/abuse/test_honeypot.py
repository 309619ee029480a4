"""SU-7: two traps for programs in our own form, and none for a bare form on another site."""

from datetime import timedelta

import pytest

from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import Signup, Subscriber
from tests.subscribers.pages import Page


@pytest.fixture
def shown(client, finnish):
    """The value of the form's own mark, as the page has it now."""

    def look():
        return Page(client.get("/subscribe?lang=fi")).value("shown")

    return look


def test_a_person_who_fills_in_our_form_gets_a_mail(sign_up, shown, clock, stored):
    mark = shown()
    clock.shift(timedelta(seconds=2))

    answer = sign_up(shown=mark, website="")

    assert (answer.status_code, len(stored(Signup))) == (303, 1)


def test_a_program_that_fills_in_the_hidden_field_sees_the_same_answer_and_leaves_nothing(
    sign_up, shown, clock, stored, caplog
):
    caplog.set_level("INFO")
    mark = shown()
    clock.shift(timedelta(seconds=20))
    person = sign_up("ihminen@example.com", shown=mark)

    program = sign_up("ohjelma@example.com", shown=mark, website="https://www.example.org")

    assert (program.status_code, program.location, program.text) == (303, person.location, person.text)
    assert [*program.headers.keys()] == [*person.headers.keys()]
    assert [row.address for row in stored(Subscriber)] == ["ihminen@example.com"]
    assert [record.reason for record in caplog.records if record.message == "signup dropped"] == ["honeypot"]


@pytest.mark.parametrize(("milliseconds", "mails"), [(0, 0), (99, 0), (100, 1)])
def test_a_form_sent_in_within_a_tenth_of_a_second_is_dropped(
    sign_up, shown, clock, stored, milliseconds, mails
):
    mark = shown()
    clock.shift(timedelta(milliseconds=milliseconds))

    answer = sign_up(shown=mark)

    assert (answer.status_code, answer.location) == (303, "/subscribe/sent?lang=fi")
    assert len(stored(OutboxMail)) == mails


def test_a_program_uses_up_the_limit_of_its_ip(sign_up, change_settings):
    change_settings(signup_limit_ip="2/minute")

    answers = [sign_up(website="x"), sign_up(website="x"), sign_up()]

    assert [answer.status_code for answer in answers] == [303, 303, 429]


def test_mending_a_fault_quickly_is_no_haste(sign_up, shown, clock, stored):
    mark = shown()
    clock.shift(timedelta(seconds=5))
    again = Page(sign_up(shown=mark, consent=None))

    clock.shift(timedelta(milliseconds=500))
    answer = sign_up(shown=again.value("shown"))

    assert (answer.status_code, len(stored(Signup))) == (303, 1)


@pytest.mark.parametrize("mark", ["", "x", "AAABl.forged", "ä"])
def test_a_mark_that_is_not_ours_counts_as_none(sign_up, stored, mark):
    sign_up(shown=mark)

    assert len(stored(Signup)) == 1


def test_the_clock_of_another_machine_drops_nobody(sign_up, shown, clock, stored):
    mark = shown()
    clock.shift(timedelta(seconds=-3))

    sign_up(shown=mark)

    assert len(stored(Signup)) == 1


def test_a_bare_form_needs_neither_field(sign_up, stored):
    sign_up()

    assert len(stored(Signup)) == 1


def test_nobody_comes_upon_the_hidden_field(client, finnish):
    page = Page(client.get("/subscribe?lang=fi"))
    (field,) = page._tree.css("input[name=website]")

    assert (field.attributes["tabindex"], field.attributes["autocomplete"]) == ("-1", "off")
    assert page._tree.css("[aria-hidden=true] input[name=website]") == [field]
    assert page.label("website") == "Jätä tämä kenttä tyhjäksi"
