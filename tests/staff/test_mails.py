"""The staff page of single mails that did not arrive."""

from datetime import timedelta

import pytest
from selectolax.lexbor import LexborHTMLParser

from newsletter.config import data_folder
from newsletter.db import db
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.staff.models import Role
from newsletter.subscribers.staff.undelivered import MAIL_LABELS
from newsletter.subscribers.undelivered import count_undelivered, list_undelivered

FAILED, UNCERTAIN, QUEUED = MailStatus.FAILED, MailStatus.UNCERTAIN, MailStatus.QUEUED


@pytest.fixture
def make_mail(app, now):
    def make(status=FAILED, code=550, *, age=timedelta(days=1), attempts=1, template="confirm", person=None):
        made = OutboxMail(
            subscriber_id=person.id if person else None,
            template=template,
            language="fi",
            message_id="<1@news.example>",
            status=status,
            created_at=now - age,
            due_at=now,
            attempts=attempts,
            reply_code=code,
        )
        db.session.add(made)
        db.session.commit()
        return made

    return make


@pytest.fixture
def read_page(client, enter):
    """Return the page and what its rows say: ``read_page()``."""
    enter(role=Role.SENDER)

    def read(path="/staff/mails?lang=fi"):
        tree = LexborHTMLParser(client.get(path).text)
        rows = [
            [" ".join(cell.text(separator=" ").split()) for cell in row.css("th, td")]
            for row in tree.css("tbody tr")
        ]
        return tree, rows

    return read


def test_a_mail_that_could_not_be_delivered_shows_with_what_to_do(make_mail, make_subscriber, read_page):
    make_mail(person=make_subscriber("meri@example.com"))

    _tree, rows = read_page()

    assert rows == [
        [
            "Vahvistusviesti m•••@example.com",
            "Epäonnistui",
            "2.3.2026 klo 11.30",
            "1",
            "Postilaatikkoa ei ole, tai se ei ota vastaan viestejämme. Koodi: 550",
            "Henkilö voi tehdä tilauksen uudelleen ja samalla korjata osoitteen, jos siinä oli virhe.",
        ]
    ]


def test_nothing_stuck_is_said_so(read_page):
    tree, rows = read_page()

    assert rows == []
    assert [heading.text() for heading in tree.css("h2")] == ["Kaikki viestit kulkevat"]


@pytest.mark.parametrize(
    ("status", "age", "shows"),
    [
        (MailStatus.ACCEPTED, timedelta(days=9), False),
        (MailStatus.SENDING, timedelta(days=9), False),
        (QUEUED, timedelta(minutes=59), False),
        (QUEUED, timedelta(minutes=60), True),
        (FAILED, timedelta(), True),
        (UNCERTAIN, timedelta(), True),
    ],
)
def test_what_is_on_its_way_is_not_yet_stuck(make_mail, now, status, age, shows):
    make_mail(status, None, age=age)

    assert len(list_undelivered(now)) == shows


@pytest.mark.parametrize(
    ("status", "code", "attempts", "reason", "advice"),
    [
        (QUEUED, None, 0, "Nothing has tried to send it.", "Check that a worker is running."),
        (
            QUEUED, None, 2,
            "Our mail server could not be reached.", "Check the mail server and its settings.",
        ),
        (
            QUEUED, 452, 2,
            "The receiving server or the mailbox is full. Code: 452",
            "Nothing: it is tried again by itself, for four days in all.",
        ),
        (
            QUEUED, 471, 2,
            "The receiving server wants us to come back later. Code: 471",
            "Nothing: it is tried again by itself, for four days in all.",
        ),
        (
            FAILED, 530, 1,
            "Our mail server wants us to log in first. Code: 530", "Check the mail server and its settings.",
        ),
        (
            FAILED, 571, 1,
            "The receiving server refused the mail for good. Code: 571",
            "The person can sign up again, with a corrected address if it was mistyped.",
        ),
        (
            UNCERTAIN, None, 1,
            "The connection broke before the server's answer, so the mail may have arrived.",
            "The person can sign up again, with a corrected address if it was mistyped.",
        ),
    ],
)  # fmt: skip
def test_the_reason_and_the_advice_follow_the_servers_answer(
    make_mail, make_subscriber, read_page, status, code, attempts, reason, advice
):
    make_mail(status, code, attempts=attempts, person=make_subscriber())

    _tree, rows = read_page("/staff/mails?lang=en")

    assert [row[4:] for row in rows] == [[reason, advice]]


def test_every_mail_of_ours_has_a_name_for_people():
    written = {subject.parent.name for subject in data_folder("templates").glob("mail/*/subject.txt")}

    assert written - set(MAIL_LABELS) == set()


def test_of_a_person_who_is_gone_nothing_is_known(make_mail, read_page):
    make_mail()

    _tree, ((mail, *_more, advice),) = read_page("/staff/mails?lang=en")

    assert (mail, advice) == (
        "Confirmation mail Recipient no longer known",
        "Nothing: the person is no longer here.",
    )


def test_they_are_counted_by_kind_and_status(make_mail, now):
    for template, status in [("confirm", FAILED), ("confirm", FAILED), ("activated", UNCERTAIN)]:
        make_mail(status, template=template)

    assert count_undelivered(now) == [("activated", UNCERTAIN, 1), ("confirm", FAILED, 2)]


def test_pages_go_by_key_and_back(make_mail, read_page):
    numbers = [make_mail().id for _ in range(25)][::-1]

    first, _rows = read_page()
    second, _rows = read_page(first.css_first("a[rel=next]").attributes["href"])
    again, _rows = read_page(second.css_first("a[rel=prev]").attributes["href"])

    shown = [[row.attributes["id"] for row in page.css("tbody tr")] for page in (first, second, again)]
    ids = [f"mail-{number}" for number in numbers]
    assert shown == [ids[:20], ids[20:], ids[:20]]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_may_only_see_totals_sees_no_recipients(client, enter, role):
    enter(role=role)

    assert client.get("/staff/mails").status_code == 403
