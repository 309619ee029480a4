"""The opt-in funnel: how many take each step, and nothing about who they are."""

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from sqlalchemy.exc import OperationalError

from newsletter.db import db
from newsletter.mail.models import OutboxMail
from newsletter.subscribers import links
from newsletter.subscribers.models import FunnelCount, FunnelStep, Signup, Subscriber, SuppressionReason
from newsletter.subscribers.signup import funnel, queue
from newsletter.subscribers.suppressions import suppress
from tests.support.apps import at_once, on_its_own

SHOWN, SENT_IN, ACCEPTED, OPENED, CONFIRMED = FunnelStep


@pytest.fixture
def counted(app, stored) -> Callable[[], dict[FunnelStep, int]]:
    """Store what was noted and return the sum of each step."""

    def read() -> dict[FunnelStep, int]:
        on_its_own(app, funnel.flush_views)
        sums: dict[FunnelStep, int] = {}
        for row in stored(FunnelCount):
            sums[row.step] = sums.get(row.step, 0) + row.count
        return sums

    return read


def test_every_step_of_the_way_is_counted(client, request_link, send_due, counted):
    client.get("/subscribe")
    path = request_link()
    send_due()
    client.get(path)
    client.post(path)

    assert counted() == {SHOWN: 1, SENT_IN: 1, ACCEPTED: 1, OPENED: 1, CONFIRMED: 1}


def test_a_count_knows_day_list_language_and_form_alone(sign_up, stored, finnish):
    sign_up(lang="en", headers={"Referer": "https://www.yritys.example/tilaa?kampanja=1"})

    (row,) = stored(FunnelCount)
    assert (row.day, row.list_id, row.language, row.form_host, row.step, row.count) == (
        date(2026, 3, 3),
        finnish.id,
        "en",
        "www.yritys.example",
        SENT_IN,
        1,
    )


def test_later_steps_belong_to_the_form_where_it_began(client, request_link, send_due, stored, counted):
    path = request_link(headers={"Referer": "https://www.yritys.example/tilaa"}, lang="en")
    send_due()
    client.get(path)
    client.post(path)

    counted()
    assert {(row.form_host, row.language) for row in stored(FunnelCount)} == {("www.yritys.example", "en")}


def test_a_request_for_two_lists_counts_for_each(sign_up, english, counted):
    sign_up(lists=["suomeksi", "in-english"])

    assert counted() == {SENT_IN: 2}


def test_a_list_left_out_on_the_page_is_not_confirmed(client, request_link, english, counted):
    path = request_link(lists=["suomeksi", "in-english"])

    client.post(path, data={"choosing": "yes", "lists": "suomeksi"})

    assert counted()[CONFIRMED] == 1


def test_the_day_is_that_of_the_business(sign_up, clock, stored):
    clock.move_to(datetime(2026, 3, 3, 22, 30, tzinfo=UTC))  # past midnight in Helsinki

    sign_up()

    assert [row.day for row in stored(FunnelCount)] == [date(2026, 3, 4)]


def test_confirming_twice_counts_once(client, request_link, counted):
    path = request_link()
    client.post(path)
    client.post(path)

    assert counted()[CONFIRMED] == 1


def test_a_form_refused_is_not_sent_in(sign_up, counted):
    sign_up(consent=None)

    assert counted().get(SENT_IN) is None


@pytest.mark.parametrize("known", ["confirmed", "banned"])
def test_every_address_counts_alike(sign_up, make_subscriber, finnish, now, counted, known):
    if known == "confirmed":
        make_subscriber("meri@example.com", [finnish])
    else:
        suppress("meri@example.com", SuppressionReason.BANNED, now)

    sign_up("meri@example.com")

    assert counted() == {SENT_IN: 1}


def test_a_list_added_on_the_own_details_page_is_no_form(client, make_subscriber, finnish, counted, send_due):
    person = make_subscriber("meri@example.com", [])

    client.post(f"/preferences/{links.PREFERENCES.make(person.id)}", data={"lists": "suomeksi"})
    send_due()

    assert counted() == {}


# --- looks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "headers"),
    [("HEAD", {}), ("GET", {"Sec-Purpose": "prefetch"}), ("GET", {"Purpose": "prefetch"})],
)
def test_what_nobody_looked_at_is_not_counted(client, request_link, counted, method, headers):
    path = request_link()
    client.open("/subscribe", method=method, headers=headers)
    client.open(path, method=method, headers=headers)

    assert counted() == {SENT_IN: 1}


def test_a_look_does_not_touch_the_database(client, finnish, stored):
    client.get("/subscribe")

    assert stored(FunnelCount) == []


def test_looks_go_in_with_the_next_step(client, sign_up, stored):
    client.get("/subscribe")
    client.get("/subscribe")

    sign_up()

    assert sorted((row.step.value, row.count) for row in stored(FunnelCount)) == [
        ("sent_in", 1),
        ("shown", 2),
    ]


def test_looks_outlive_a_database_that_is_away(app, client, finnish, counted, monkeypatch):
    client.get("/subscribe")
    with monkeypatch.context() as away:
        away.setattr(db.session(), "execute", _refuse)
        with pytest.raises(OperationalError):
            funnel.flush_views()

    assert counted() == {SHOWN: 1}


def _refuse(*_args: object, **_options: object) -> None:
    raise OperationalError("insert", {}, Exception("the database is away"))


# --- what strangers may write ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "referer",
    [
        pytest.param("https://=cmd.example/", id="no host"),
        pytest.param(f"https://{'a' * 300}.example/", id="too long"),
    ],
)
def test_a_site_that_is_none_has_no_name(sign_up, stored, referer):
    sign_up(headers={"Referer": referer})

    assert [row.form_host for row in stored(FunnelCount)] == ["other"]


def test_beyond_fifty_sites_a_day_they_are_one(sign_up, stored):
    for number in range(60):
        sign_up(f"m{number}@example.com", headers={"Referer": f"https://site-{number:02}.example/"})

    hosts = {row.form_host: row.count for row in stored(FunnelCount)}
    assert (len(hosts), hosts["other"], hosts["site-00.example"]) == (51, 10, 1)


def test_the_mail_carries_no_count_to_its_reader(sign_up, send_due, outgoing):
    sign_up(headers={"Referer": "https://www.yritys.example/tilaa"})
    send_due()

    assert "yritys.example" not in outgoing.last.as_string()


def test_erasing_everyone_keeps_the_counts(client, request_link, counted, stored):
    client.get(request_link())
    before = counted()

    db.session.delete(stored(Subscriber)[0])
    db.session.commit()

    assert (counted(), stored(Signup)) == (before, [])


# --- at once ---------------------------------------------------------------------------------------


def test_requests_at_once_lose_no_count(real_app, finnish, english, counted):
    forms = [
        {"email": f"m{number}@example.com", "lists": lists, "consent": "yes"}
        for number, lists in enumerate([["suomeksi", "in-english"], ["in-english", "suomeksi"]] * 4)
    ]

    at_once(real_app, *[_poster(real_app, form) for form in forms])
    on_its_own(real_app, queue.load_queued)

    assert counted()[SENT_IN] == 16


def _poster(app, form):
    return lambda: app.test_client().post("/subscribe", data=form).status_code


def test_a_mail_of_another_kind_is_not_counted(make_subscriber, finnish, sign_up, send_due, stored, counted):
    make_subscriber("meri@example.com", [finnish])
    sign_up("meri@example.com")
    send_due()

    assert ([mail.template for mail in stored(OutboxMail)], counted()) == (
        ["already_subscribed"],
        {SENT_IN: 1},
    )
