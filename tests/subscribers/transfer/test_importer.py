"""A file of subscribers from elsewhere: what is taken, what is not, and that it can be run again."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from newsletter.db import db
from newsletter.errors import NewsletterError
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.privacy.retention.erasure import erase_people
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.texts import get_or_create_wording
from newsletter.subscribers.models import (
    Consent,
    ConsentKind,
    Import,
    Purpose,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
    TrackingState,
    Wording,
)
from newsletter.subscribers.self_service.unsubscribe import unsubscribe_from
from newsletter.subscribers.suppressions import suppress
from newsletter.subscribers.transfer import importer
from newsletter.subscribers.transfer.import_file import (
    ColumnsMissing,
    ColumnsUnknown,
    FileEmpty,
    LineTooLong,
    NotUtf8,
    inspect_file,
)
from newsletter.subscribers.transfer.importer import COUNT_NAMES, ImportResult, import_file
from tests.support.apps import on_its_own
from tests.support.clock import NOW

WORDS = "Haluan saada uutiskirjeen sähköpostiini."
GIVEN = {
    "address": "meri@example.com",
    "source": "Messut 2024",
    "consent_text": WORDS,
    "consented_at": "2024-05-31T12:00:00+03:00",
    "proof": "Paperilomake 12, mappi 3",
    "language": "",
    "tracking": "",
}
CONSENTED = datetime(2024, 5, 31, 9, tzinfo=UTC)


def given(address: str = "meri@example.com", **cells: str) -> dict[str, str]:
    return GIVEN | {"address": address} | cells


@pytest.fixture
def write_file(tmp_path) -> Callable[..., Path]:
    """Write rows to a file as a spreadsheet would."""

    def write(*rows: dict[str, str], delimiter: str = ",", encoding: str = "utf-8") -> Path:
        path: Path = tmp_path / "tilaajat.csv"
        with path.open("w", newline="", encoding=encoding) as file:
            writer = csv.DictWriter(file, list(GIVEN), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def run_import(app, finnish) -> Callable[..., ImportResult]:
    """Import a file to the Finnish list, unless lists are given."""

    def run(path: Path, *lists, progress: Callable[[int], object] = bool) -> ImportResult:
        return import_file(
            inspect_file(path), lists or [finnish], now=NOW, actor="console", progress=progress
        )

    return run


@pytest.fixture
def people(dump) -> Callable[[], dict[str, list[tuple[Any, ...]]]]:
    """Everything the database holds, but for the records of who imported what when."""

    def read() -> dict[str, list[tuple[Any, ...]]]:
        return {name: rows for name, rows in dump().items() if name not in {"imports", "audit"}}

    return read


def counted(**counts: int) -> dict[str, int]:
    return dict.fromkeys(COUNT_NAMES, 0) | counts


def read_rejects(path: Path, delimiter: str = ",") -> list[list[str]]:
    rejects = path.with_name("tilaajat.rejects.csv")
    with rejects.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file, delimiter=delimiter))


# --- what a good row becomes (SU-10) ---------------------------------------------------------------


def test_an_imported_row_is_a_confirmed_subscription(run_import, write_file, stored):
    done = run_import(write_file(given("Meri.Virta@Example.COM")))

    (subscriber,) = stored(Subscriber)
    (subscription,) = subscriber.subscriptions
    assert done.counts == counted(rows=1, added=1)
    assert (subscriber.address, subscriber.language) == ("Meri.Virta@example.com", "fi")
    assert subscriber.address_hash == hash_address("meri.virta@example.com")
    assert subscription.status is SubscriptionStatus.CONFIRMED
    assert (subscription.confirmed_at, subscription.created_at) == (CONSENTED, NOW)


def test_the_ledger_keeps_what_the_row_says_of_its_consent(run_import, write_file, finnish, stored):
    done = run_import(write_file(given()))

    (consent,), (wording,) = stored(Consent), stored(Wording)
    assert (consent.kind, consent.purpose, consent.method) == (
        ConsentKind.CONFIRMED,
        Purpose.NEWSLETTER,
        "import",
    )
    assert (consent.list_id, consent.import_id, consent.at) == (finnish.id, done.id, CONSENTED)
    assert (consent.source, consent.proof) == ("Messut 2024", "Paperilomake 12, mappi 3")
    assert (consent.wording_id, wording.text, wording.language) == (wording.id, WORDS, "fi")


def test_no_mail_is_sent_to_imported_addresses(run_import, write_file, stored):
    run_import(write_file(given()))

    assert stored(OutboxMail) == []


def test_the_import_itself_is_on_record(run_import, write_file, stored):
    path = write_file(given(), given("huono"))

    run_import(path)

    (record,) = stored(Import)
    assert (record.file_name, record.lists, record.actor) == ("tilaajat.csv", "suomeksi", "console")
    assert (record.started_at, record.finished_at) == (NOW, NOW)
    assert record.counts == counted(rows=2, added=1, rejected=1)
    assert [(entry.action, entry.object) for entry in stored(AuditEntry)] == [
        ("import started", f"import:{record.id}"),
        ("import finished", f"import:{record.id}"),
    ]


def test_a_row_is_imported_to_every_list_asked_for(run_import, write_file, finnish, english, stored):
    done = run_import(write_file(given()), finnish, english)

    assert done.counts == counted(rows=1, added=2)
    assert [row.mailing_list.slug for row in stored(Subscription)] == ["suomeksi", "in-english"]
    assert [(row.language, row.version) for row in stored(Wording)] == [("fi", 1), ("en", 1)]


def test_each_different_text_is_a_version_of_its_own(run_import, write_file, stored, now):
    get_or_create_wording(Purpose.NEWSLETTER, "fi", "Tilaan.", now)

    run_import(write_file(given("a@example.com", consent_text="Tilaan."), given("b@example.com")))

    wordings = stored(Wording)
    assert [(row.text, row.version) for row in wordings] == [("Tilaan.", 1), (WORDS, 2)]
    assert [row.wording_id for row in stored(Consent)] == [row.id for row in wordings]


def test_the_row_may_say_another_language(run_import, write_file, stored):
    run_import(write_file(given(language="EN")))

    assert [row.language for row in stored(Subscriber)] == ["en"]
    assert [row.language for row in stored(Wording)] == ["en"]


@pytest.mark.parametrize(
    ("cell", "state", "facts"),
    [
        ("", TrackingState.UNKNOWN, []),
        ("yes", TrackingState.GRANTED, [(ConsentKind.CONFIRMED, "Messut 2024", True)]),
        ("No", TrackingState.REFUSED, [(ConsentKind.WITHDRAWN, "Messut 2024", False)]),
    ],
)
def test_tracking_is_a_consent_of_its_own(run_import, write_file, stored, cell, state, facts):
    run_import(write_file(given(tracking=cell)))

    (subscriber,) = stored(Subscriber)
    found = [
        (row.kind, row.source, row.wording_id is not None)
        for row in stored(Consent)
        if row.purpose is Purpose.TRACKING
    ]
    assert (subscriber.tracking, found) == (state, facts)
    assert subscriber.tracking_chosen_at == (CONSENTED if cell else None)


@pytest.mark.parametrize(
    ("cell", "at"),
    [
        ("2024-05-31T12:00:00Z", datetime(2024, 5, 31, 12, tzinfo=UTC)),
        ("2024-05-31 12:00+02:00", datetime(2024, 5, 31, 10, tzinfo=UTC)),
        ("2024-05-31", datetime(2024, 5, 30, 21, tzinfo=UTC)),
        ("31.5.2024", datetime(2024, 5, 30, 21, tzinfo=UTC)),
        ("01.02.2024", datetime(2024, 1, 31, 22, tzinfo=UTC)),
    ],
)
def test_a_date_begins_in_the_business_time_zone(run_import, write_file, stored, cell, at):
    run_import(write_file(given(consented_at=cell)))

    assert [row.at for row in stored(Consent)] == [at]


# --- who is not brought in -------------------------------------------------------------------------


@pytest.mark.parametrize("reason", SuppressionReason)
def test_rp5_suppressed_addresses_are_skipped_and_counted(run_import, write_file, stored, reason):
    suppress("meri@example.com", reason, NOW)

    done = run_import(write_file(given("Meri@example.com"), given("aino@example.com")))

    assert done.counts == counted(rows=2, suppressed=1, added=1)
    assert [row.address for row in stored(Subscriber)] == ["aino@example.com"]


def test_who_is_confirmed_already_is_left_untouched(run_import, write_file, make_subscriber, finnish, people):
    make_subscriber("meri@example.com", [finnish])
    before = people()

    done = run_import(write_file(given("MERI@example.com", language="en", tracking="yes")))

    assert done.counts == counted(rows=1, already=1)
    assert people() == before


def test_who_left_is_not_brought_back(run_import, write_file, make_subscriber, finnish, people):
    make_subscriber("meri@example.com", [finnish], status=SubscriptionStatus.UNSUBSCRIBED)
    before = people()

    done = run_import(write_file(given(tracking="yes")))

    assert done.counts == counted(rows=1, left=1)
    assert people() == before


def test_who_left_one_list_may_be_imported_to_another(
    run_import, write_file, make_subscriber, finnish, english, stored
):
    make_subscriber("meri@example.com", [finnish], status=SubscriptionStatus.UNSUBSCRIBED)

    done = run_import(write_file(given()), finnish, english)

    assert done.counts == counted(rows=1, left=1, added=1)
    assert [row.status.value for row in stored(Subscription)] == ["unsubscribed", "confirmed"]


def test_who_left_and_was_purged_is_not_brought_back(run_import, write_file, app, people):
    path = write_file(given())
    run_import(path)
    subscriber = db.session.query(Subscriber).one()
    unsubscribe_from(subscriber, None, now=NOW, method="page", visit=Visit("203.0.113.7"))
    db.session.commit()
    on_its_own(app, lambda: erase_people([subscriber.id], now=NOW))
    before = people()

    done = run_import(path)

    assert done.counts == counted(rows=1, left=1)
    assert people() == before


def test_who_was_purged_and_asks_anew_still_has_to_confirm(
    run_import, write_file, make_subscriber, finnish, stored, now
):
    make_subscriber("meri@example.com", [finnish], status=SubscriptionStatus.PENDING)
    gone = Consent(
        kind=ConsentKind.WITHDRAWN,
        purpose=Purpose.NEWSLETTER,
        list_id=finnish.id,
        notice_version=1,
        at=now,
        method="page",
        address_hash=hash_address("meri@example.com"),
        keep_until=now + timedelta(days=1000),
    )
    db.session.add(gone)
    db.session.commit()

    done = run_import(write_file(given()))

    assert done.counts == counted(rows=1, left=1)
    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.PENDING]


def test_a_restricted_person_is_left_alone(run_import, write_file, make_subscriber, people, now):
    make_subscriber("meri@example.com", [], restricted_at=now)
    before = people()

    done = run_import(write_file(given()))

    assert done.counts == counted(rows=1, restricted=1)
    assert people() == before


def test_a_pending_subscription_is_confirmed_by_its_proof(run_import, write_file, sign_up, stored):
    sign_up("meri@example.com")

    done = run_import(write_file(given()))

    (subscription,) = stored(Subscription)
    assert done.counts == counted(rows=1, confirmed=1)
    assert (subscription.status, subscription.confirmed_at) == (SubscriptionStatus.CONFIRMED, CONSENTED)
    assert [(row.kind.value, row.method) for row in stored(Consent)] == [
        ("asked", "form"),
        ("confirmed", "import"),
    ]


def test_a_tracking_choice_made_here_stays(run_import, write_file, make_subscriber, english, stored):
    make_subscriber("meri@example.com", [english], tracking=TrackingState.REFUSED)

    run_import(write_file(given(tracking="yes")))

    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.REFUSED]
    assert [row.purpose for row in stored(Consent)] == [Purpose.NEWSLETTER]


def test_an_address_on_two_rows_is_taken_from_the_first(run_import, write_file, stored):
    done = run_import(write_file(given(), given("MERI@example.com", source="Toinen")))

    assert done.counts == counted(rows=2, added=1, already=1)
    assert [row.address for row in stored(Subscriber)] == ["meri@example.com"]
    assert [row.source for row in stored(Consent)] == ["Messut 2024"]


# --- rows that are rejected ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"source": " "}, "missing: source"),
        ({"consent_text": ""}, "missing: consent_text"),
        ({"consented_at": "", "proof": ""}, "missing: consented_at, proof"),
        ({"address": ""}, "missing: address"),
        ({"address": "meri@localhost"}, "the address is not one that mail can be sent to"),
        ({"consented_at": "eilen"}, "consented_at is neither ISO 8601 nor a date such as 31.5.2024"),
        ({"consented_at": "31.2.2024"}, "consented_at is neither ISO 8601 nor a date such as 31.5.2024"),
        (
            {"consented_at": "2024-05-31T12:00:00"},
            "consented_at has a time without a zone, as in 2024-05-31T12:00:00+03:00",
        ),
        ({"consented_at": "2099-01-01"}, "consented_at is in the future"),
        ({"consented_at": "9999-12-31T23:59:59-12:00"}, "consented_at is in the future"),
        ({"consented_at": "0001-01-01"}, "consented_at is before 1990"),
        ({"language": "sv"}, "language is none of fi, en"),
        ({"tracking": "ehkä"}, "tracking is neither yes nor no"),
        ({"proof": "a\0b"}, "it holds a NUL character"),
        ({"consent_text": "ä" * 1251}, "consent_text is longer than 2500 bytes"),
        (
            {"consent_text": "Lähettäkää osoitteeseen Meri@Example.com."},
            "consent_text holds the address; it has to be the words everybody saw",
        ),
    ],
)
def test_a_row_without_all_its_proof_is_rejected_with_the_reason(
    run_import, write_file, people, cells, reason
):
    before = people()
    path = write_file(given(**cells))

    done = run_import(path)

    assert done.counts == counted(rows=1, rejected=1)
    assert [row[2] for row in read_rejects(path)] == ["reason", reason]
    assert people() == before


def test_the_rejects_file_names_row_address_and_reason_beside_the_original(run_import, write_file):
    path = write_file(given(), given("huono", source="=SUMMA(A1)"))

    done = run_import(path)

    assert done.rejects == path.with_name("tilaajat.rejects.csv")
    assert done.rejects.stat().st_mode & 0o777 == 0o600
    assert read_rejects(path) == [
        [
            "row",
            "address",
            "reason",
            "source",
            "consent_text",
            "consented_at",
            "proof",
            "language",
            "tracking",
        ],
        [
            "3",
            "huono",
            "the address is not one that mail can be sent to",
            "'=SUMMA(A1)",
            WORDS,
            GIVEN["consented_at"],
            GIVEN["proof"],
            "",
            "",
        ],
    ]


def test_a_mended_rejects_file_can_be_imported_as_it_is(run_import, write_file, stored):
    rejects = run_import(write_file(given("huono", source="-5 %"))).rejects
    rejects.write_text(rejects.read_text(encoding="utf-8").replace("huono", "meri@example.com"), "utf-8")

    done = run_import(rejects)

    assert done.counts == counted(rows=1, added=1)
    assert [row.source for row in stored(Consent)] == ["-5 %"]


def test_without_rejects_there_is_no_file_of_them(run_import, write_file):
    path = write_file(given())
    old = path.with_name("tilaajat.rejects.csv")
    old.write_text("from an earlier run", encoding="utf-8")

    done = run_import(path)

    assert (done.rejects, old.exists()) == (None, False)


def test_a_row_with_columns_too_many_is_rejected_whole(run_import, write_file):
    path = write_file(given())
    with path.open("a", encoding="utf-8") as file:
        file.write("aino@example.com,Messut, torstai,Haluan,2024-05-31,Lomake,fi,yes\r\n")

    done = run_import(path)

    assert done.counts == counted(rows=2, added=1, rejected=1)
    assert read_rejects(path)[1][2:] == [
        "8 columns instead of 7",
        "Messut",
        " torstai",
        "Haluan",
        "2024-05-31",
        "Lomake",
        "fi",
        "yes",
    ]


@pytest.mark.parametrize("broken", ['aino@example.com,"never closed', 'aino@example.com,"closed"twice,x'])
def test_a_broken_quote_costs_its_own_row_only(run_import, write_file, broken):
    path = write_file(given())
    whole = path.read_text(encoding="utf-8")
    rows = f"{broken}\r\n" + whole.splitlines()[1].replace("meri", "eero") + "\r\n"
    path.write_text(whole + rows, encoding="utf-8", newline="")

    done = run_import(path)

    assert done.counts == counted(rows=3, added=2, rejected=1)
    assert read_rejects(path)[1][:3] == ["3", "", "its quotes do not match"]
    assert read_rejects(path)[1][-1] == broken


# --- what a file may look like ---------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_files_of_every_spreadsheet_are_read(run_import, write_file, stored, delimiter, encoding):
    tricky = given(proof="Lomake; mappi 3, hylly", consent_text='Tilaan "uutiskirjeen".\r\nVoin perua.')
    path = write_file(tricky, given("huono"), delimiter=delimiter, encoding=encoding)

    done = run_import(path)

    assert done.counts == counted(rows=2, added=1, rejected=1)
    assert [row.proof for row in stored(Consent)] == ["Lomake; mappi 3, hylly"]
    assert [row.text for row in stored(Wording)] == ['Tilaan "uutiskirjeen".\r\nVoin perua.']
    assert read_rejects(path, delimiter)[1][:2] == ["3", "huono"]
    assert path.with_name("tilaajat.rejects.csv").read_bytes().startswith(b"\xef\xbb\xbf") == (
        encoding == "utf-8-sig"
    )


def test_blank_rows_and_empty_columns_at_the_end_do_no_harm(run_import, tmp_path):
    path = tmp_path / "tilaajat.csv"
    row = "meri@example.com;Messut;Tilaan;31.5.2024;Lomake;;"
    path.write_text(f"Address; Source ;CONSENT_TEXT;consented_at;proof;;\n\n;;;;;;\n{row}\n", "utf-8")

    assert run_import(path).counts == counted(rows=1, added=1)


def test_a_header_alone_is_an_import_of_nobody(run_import, write_file):
    assert run_import(write_file()).counts == counted()


HEADER = ",".join(GIVEN)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", FileEmpty, "t.csv is empty."),
        (b"\xef\xbb\xbf", FileEmpty, "t.csv is empty."),
        (
            f"{HEADER}\nmeri@example.com,".encode() + "pääsiäinen".encode("latin-1"),
            NotUtf8,
            "t.csv is not UTF-8 (line 2). Save it as CSV UTF-8 and try again.",
        ),
        (
            HEADER.encode("utf-16"),
            NotUtf8,
            "t.csv is not UTF-8 (line 1). Save it as CSV UTF-8 and try again.",
        ),
        (b"address,source\n", ColumnsMissing, "t.csv lacks the columns: consent_text, consented_at, proof."),
        (
            f"{HEADER},phone,address\n".encode(),
            ColumnsUnknown,
            "t.csv has columns that are not known, or twice: phone, address.",
        ),
        (
            f"{HEADER}\n".encode() + b"x" * 70_000,
            LineTooLong,
            "Line 2 of t.csv is too long. Is it a CSV file?",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path, content, error, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)

    with pytest.raises(error) as refused:
        inspect_file(path)

    assert isinstance(refused.value, NewsletterError)
    assert str(refused.value) == message


# --- again, after a kill, and at once --------------------------------------------------------------


def test_the_same_file_twice_changes_nothing(run_import, write_file, people):
    path = write_file(given(tracking="yes"), given("aino@example.com"), given("huono"))
    run_import(path)
    before = people()

    done = run_import(path)

    assert done.counts == counted(rows=3, already=2, rejected=1)
    assert people() == before


def test_a_killed_import_ends_as_one_that_ran_through(run_import, write_file, stored, monkeypatch):
    monkeypatch.setattr(importer, "BATCH_SIZE", 2)
    addresses = [f"tilaaja{number}@example.com" for number in range(5)]
    path = write_file(*map(given, addresses))

    def kill(_position: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(path, progress=kill)
    db.session.rollback()
    killed = len(stored(Consent))
    done = run_import(path)

    (record,) = stored(Import)
    assert killed == 2
    assert done.counts == counted(rows=5, added=3, already=2)
    assert [row.address for row in stored(Subscriber)] == addresses
    assert [row.import_id for row in stored(Consent)] == [record.id] * 5
    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.CONFIRMED] * 5
    assert (record.started_at, record.finished_at) == (NOW, NOW)


def test_progress_is_told_in_bytes_read(run_import, write_file):
    path = write_file(given())
    told = []

    run_import(path, progress=told.append)

    assert told == [path.stat().st_size]


def test_two_imports_at_once_bring_everybody_in_once(real_app, write_file, finnish, stored, monkeypatch):
    monkeypatch.setattr(importer, "BATCH_SIZE", 10)
    path = write_file(*(given(f"tilaaja{number}@example.com") for number in range(40)))
    layout, counts = inspect_file(path), []
    db.session.rollback()

    def run() -> None:
        with real_app.app_context():
            done = import_file(layout, [finnish], now=NOW, actor="console", progress=bool)
            counts.append(done.counts)

    threads = [Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(done["added"] for done in counts) == 40
    assert sum(done["already"] for done in counts) == 40
    assert (len(stored(Subscriber)), len(stored(Consent)), len(stored(Subscription))) == (40, 40, 40)


# --- the command -----------------------------------------------------------------------------------


def test_the_command_reports_in_json(app, write_file, finnish, stored):
    path = write_file(given(), given("huono"))

    done = app.test_cli_runner().invoke(
        args=["subscribers", "import", str(path), "--list", "suomeksi", "--json"]
    )

    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "id": stored(Import)[0].id,
        **counted(rows=2, added=1, rejected=1),
        "rejects": str(path.with_name("tilaajat.rejects.csv")),
    }


def test_the_command_says_what_it_did(app, write_file, finnish):
    done = app.test_cli_runner().invoke(
        args=["subscribers", "import", str(write_file(given())), "--list", "suomeksi"]
    )

    assert done.stdout == (
        "1 rows.\n"
        "Subscriptions: 1 added, 0 that were pending confirmed, 0 there already,"
        " 0 not brought back to people who left earlier.\n"
        "Rows passed over: 0 suppressed, 0 restricted, 0 rejected.\n"
    )


@pytest.mark.parametrize(
    ("slug", "encoding", "message"),
    [
        ("puuttuva", "utf-8", "Error: There is no list called puuttuva.\n"),
        (
            "suomeksi",
            "latin-1",
            "Error: tilaajat.csv is not UTF-8 (line 2). Save it as CSV UTF-8 and try again.\n",
        ),
    ],
)
def test_the_command_refuses_in_one_line(app, write_file, finnish, people, slug, encoding, message):
    before = people()
    path = write_file(given(), encoding=encoding)

    done = app.test_cli_runner().invoke(args=["subscribers", "import", str(path), "--list", slug])

    assert (done.exit_code, done.stderr) == (1, message)
    assert people() == before
