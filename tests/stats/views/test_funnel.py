"""The page of the opt-in funnel, and its file."""

import csv
import threading
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from newsletter.db import db
from newsletter.stats.models import FunnelMonth
from newsletter.stats.reports import funnel
from newsletter.stats.reports.funnel import Filter
from newsletter.stats.rollups.funnel_months import close_months, find_wrong_months, funnel_counts, next_month
from newsletter.subscribers.models import FunnelCount, FunnelStep, MailingList
from newsletter.subscribers.signup.funnel import record_steps
from tests.subscribers.pages import Page
from tests.support.apps import at_once

#: For somebody who does not wait for their turn to be done before the other goes on.
LONG_ENOUGH = 0.2


@pytest.fixture
def suomeksi(make_list) -> MailingList:
    made: MailingList = make_list("suomeksi", "Suomenkielinen uutiskirje")
    return made


@pytest.fixture
def staff(make_staff, log_in) -> None:
    make_staff()
    log_in()


@pytest.fixture
def count(app):
    """Store counts: ``count(list, shown=10, sent_in=4)``."""

    def store(
        mailing_list: MailingList,
        day: date = date(2026, 3, 3),
        language: str = "fi",
        form_host: str = "www.yritys.example",
        shard: int = 0,
        **steps: int,
    ) -> None:
        for step, number in steps.items():
            row = FunnelCount(
                day=day,
                list_id=mailing_list.id,
                language=language,
                form_host=form_host,
                step=FunnelStep(step),
                shard=shard,
                count=number,
            )
            db.session.add(row)
        db.session.commit()

    return store


def rows_of(response) -> list[list[str]]:
    return list(csv.reader(response.text.splitlines()))


def test_nobody_sees_the_funnel_without_logging_in(client):
    answers = [client.get(path) for path in ("/staff/funnel", "/staff/funnel.csv")]

    assert [(answer.status_code, answer.location.partition("?")[0]) for answer in answers] == [
        (302, "/staff/login")
    ] * 2


@pytest.mark.usefixtures("staff")
def test_an_empty_funnel_says_what_will_be_here(client):
    page = Page(client.get("/staff/funnel?lang=fi"))

    assert (page.status, page.texts("h2"), page.texts("table")) == (200, ["Ei vielä tilauksia"], [])


@pytest.mark.usefixtures("staff")
def test_the_steps_and_their_shares_are_shown(client, suomeksi, count):
    count(suomeksi, shown=1000, sent_in=200, mail_accepted=190, page_opened=150, confirmed=120)
    count(suomeksi, shard=1, confirmed=20)

    page = Page(client.get("/staff/funnel?lang=fi"))

    assert page.texts(".funnel .count") == ["1 000", "200", "190", "150", "140"]
    assert page.texts(".funnel .share strong") == ["95 %", "75 %", "70 %"]


@pytest.mark.usefixtures("staff")
def test_a_list_and_a_month_can_be_chosen(client, suomeksi, make_list, count):
    english = make_list("in-english", "Newsletter in English", language="en")
    count(suomeksi, sent_in=10)
    count(suomeksi, day=date(2026, 2, 28), sent_in=20)
    count(english, sent_in=40)

    def sent_in(query: str) -> str:
        return Page(client.get(f"/staff/funnel?{query}")).texts(".funnel .count")[1]

    assert [
        sent_in(query) for query in ("", "list=suomeksi", "month=2026-03", "list=suomeksi&month=2026-02")
    ] == [
        "70",
        "30",
        "50",
        "20",
    ]


@pytest.mark.usefixtures("staff")
@pytest.mark.parametrize("query", ["list=ruotsiksi", "month=2026-13", "month=x", "list=&month="])
def test_a_choice_that_does_not_exist_shows_all(client, suomeksi, count, query):
    count(suomeksi, sent_in=7)

    assert Page(client.get(f"/staff/funnel?{query}")).texts(".funnel .count")[1] == "7"


@pytest.mark.usefixtures("staff")
def test_the_funnel_is_shown_by_month_list_language_and_form(client, suomeksi, count):
    count(suomeksi, sent_in=7)
    count(suomeksi, form_host="other", language="en", sent_in=3)

    page = Page(client.get("/staff/funnel?lang=fi"))

    assert page.texts(".data tbody th") == [
        "Maaliskuu 2026",
        "Suomenkielinen uutiskirje",
        "Suomi",
        "English",
        "www.yritys.example",
        "Muut sivustot",
    ]


@pytest.mark.usefixtures("staff")
def test_the_file_has_a_row_a_day_and_hides_small_counts(client, suomeksi, count):
    count(suomeksi, shown=1000, sent_in=5, confirmed=4)

    response = client.get("/staff/funnel.csv?list=suomeksi&month=2026-03")

    assert response.headers["Content-Disposition"] == 'attachment; filename="funnel.csv"'
    assert rows_of(response) == [
        ["day", "list", "language", "form", "shown", "sent_in", "mail_accepted", "page_opened", "confirmed"],
        ["2026-03-03", "Suomenkielinen uutiskirje", "fi", "www.yritys.example", "1000", "5", "0", "0", "<5"],
    ]


def test_the_file_comes_month_by_month_with_no_transaction_open_in_between(app, suomeksi, count):
    for day in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 1, 2), date(2026, 3, 3)):
        count(suomeksi, day=day, shown=7)

    months = [
        ([row.day for row in rows], db.session().in_transaction()) for rows in funnel.days_by_month(Filter())
    ]

    assert months == [
        (["2025-12-31"], False),
        (["2026-01-01", "2026-01-02"], False),
        (["2026-03-03"], False),
    ]


@pytest.mark.usefixtures("staff")
def test_the_file_of_years_is_not_made_before_its_beginning_is_sent(app, client, suomeksi, count):
    count(suomeksi, day=date(2025, 12, 31), shown=7)
    count(suomeksi, day=date(2026, 3, 3), shown=8)

    pieces = list(client.get("/staff/funnel.csv").response)

    assert [piece.count(b"\r\n") for piece in pieces] == [1, 1, 1]


@pytest.mark.usefixtures("staff")
def test_a_file_of_nothing_has_its_heading(client):
    assert len(rows_of(client.get("/staff/funnel.csv?month=2026-03"))) == 1


@pytest.mark.usefixtures("staff")
def test_the_file_runs_nothing_in_a_spreadsheet(client, make_list, count):
    count(make_list("x", "=HYPERLINK(1)"), sent_in=9)

    assert rows_of(client.get("/staff/funnel.csv"))[1][1] == "'=HYPERLINK(1)"


@pytest.mark.usefixtures("staff")
def test_a_month_that_is_over_is_added_up_once_and_shown_as_before(client, suomeksi, make_list, count):
    english = make_list("in-english", "Newsletter in English", language="en")
    for day in (date(2025, 12, 31), date(2026, 2, 1), date(2026, 2, 28), date(2026, 3, 1)):
        count(suomeksi, day=day, shown=day.day, sent_in=2)
        count(english, day=day, form_host="other", language="en", shown=5)
    queries = ("", "list=suomeksi", "month=2026-02", "month=2026-03", "list=in-english&month=2025-12")

    def shown() -> list[list[str]]:
        pages = [Page(client.get(f"/staff/funnel?{query}")) for query in queries]
        return [page.texts(".funnel .count") + page.texts(".data td, .data th") for page in pages]

    before = shown()
    closed = []
    for today in (date(2026, 3, 3), date(2026, 3, 4), date(2026, 3, 4)):
        close_months(today)
        closed.append(set(db.session.scalars(sa.select(FunnelMonth.month))))
    count(suomeksi, day=date(2026, 3, 2), confirmed=1)

    assert closed == [{date(2025, 12, 1)}, *[{date(2025, 12, 1), date(2026, 2, 1)}] * 2]
    assert (shown()[2], before[0] == shown()[0], find_wrong_months()) == (before[2], False, [])
    db.session.execute(sa.delete(FunnelCount).where(FunnelCount.step == FunnelStep.CONFIRMED))
    assert shown() == before


def test_what_comes_late_is_added_to_its_month_and_undone_with_its_day(app, suomeksi, count):
    count(suomeksi, day=date(2026, 1, 7), shown=10)
    count(suomeksi, day=date(2026, 2, 7), shown=10)
    close_months(date(2026, 3, 4))
    suomi = suomeksi.id

    def store(host: str, *days: date) -> None:
        record_steps((day, suomi, "fi", host, FunnelStep.SHOWN) for day in days)

    store("www.yritys.example", date(2026, 1, 7), date(2026, 1, 9), date(2026, 2, 1), date(2026, 3, 3))
    store("blogi.example", date(2026, 1, 31))
    db.session.commit()
    store("blogi.example", date(2026, 1, 31))
    db.session.rollback()

    stored = db.session.execute(
        sa.select(FunnelMonth.month, FunnelMonth.form_host, FunnelMonth.count).order_by(FunnelMonth.month)
    )
    assert sorted(map(tuple, stored)) == [
        (date(2026, 1, 1), "blogi.example", 1),
        (date(2026, 1, 1), "www.yritys.example", 12),
        (date(2026, 2, 1), "www.yritys.example", 11),
    ]
    assert find_wrong_months() == []


@pytest.mark.parametrize("closed", [None, date(2026, 1, 4), date(2026, 3, 4), date(2026, 4, 4)])
@pytest.mark.parametrize(
    "since", [date(2025, 11, 30), date(2025, 12, 1), date(2026, 2, 15), date(2026, 3, 31)]
)
def test_counts_from_a_day_on_are_those_of_the_days(suomeksi, count, closed, since):
    days = [date(2025, 11, 29) + timedelta(days=number) for number in range(150)]
    for number, day in enumerate(days):
        count(suomeksi, day=day, shown=number + 1)
    if closed:
        close_months(closed)

    found = db.session.scalar(sa.select(sa.func.sum(funnel_counts(since).c.count)))

    assert found == sum(number + 1 for number, day in enumerate(days) if day >= since)


def test_a_month_that_is_closed_while_a_count_for_it_is_stored_has_that_count(real_app, suomeksi, count):
    """Whoever closes waits for those who have begun to store."""
    count(suomeksi, day=date(2026, 1, 7), shown=10)
    key = (date(2026, 1, 9), suomeksi.id, "fi", "www.yritys.example", FunnelStep.SHOWN)
    has_stored, has_closed = threading.Event(), threading.Event()

    def store() -> None:
        record_steps([key])
        has_stored.set()
        has_closed.wait(LONG_ENOUGH)
        db.session.commit()

    def close() -> None:
        has_stored.wait(10)
        close_months(date(2026, 3, 4))
        has_closed.set()

    assert at_once(real_app, store, close) == [None, None]
    assert (find_wrong_months(), db.session.scalars(sa.select(FunnelMonth.count)).all()) == ([], [11])


def test_a_count_that_is_stored_while_its_month_is_closed_is_added_to_it(real_app, suomeksi, count):
    """Whoever stores waits for the one who has begun to close."""
    count(suomeksi, day=date(2026, 1, 7), shown=10)
    key = (date(2026, 1, 9), suomeksi.id, "fi", "www.yritys.example", FunnelStep.SHOWN)
    is_closing, has_stored = threading.Event(), threading.Event()

    def close() -> None:
        closing = db.session()

        def wait(session: Session) -> None:
            if session is closing:
                is_closing.set()
                has_stored.wait(LONG_ENOUGH)

        sa.event.listen(Session, "before_commit", wait)
        try:
            close_months(date(2026, 3, 4))
        finally:
            sa.event.remove(Session, "before_commit", wait)

    def store() -> None:
        is_closing.wait(10)
        record_steps([key])
        db.session.commit()
        has_stored.set()

    assert at_once(real_app, close, store) == [None, None]
    assert (find_wrong_months(), db.session.scalars(sa.select(FunnelMonth.count)).all()) == ([], [11])


def test_a_month_that_is_not_what_its_days_add_up_to_is_found(app, suomeksi, count):
    count(suomeksi, day=date(2026, 1, 7), shown=10)
    count(suomeksi, day=date(2026, 2, 7), shown=10)
    close_months(date(2026, 4, 1))
    count(suomeksi, day=date(2026, 1, 8), shown=1)

    told = app.test_cli_runner().invoke(args=["stats", "verify"])

    assert find_wrong_months() == [date(2026, 1, 1)]
    assert (told.exit_code, told.stderr.splitlines()[-1]) == (
        1, "  sign-ups of 2026-01: not what their days add up to",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("month", "after"), [(date(2026, 1, 1), date(2026, 2, 1)), (date(2026, 12, 1), date(2027, 1, 1))]
)
def test_a_month_ends_where_the_next_begins(month, after):
    assert next_month(month) == after
