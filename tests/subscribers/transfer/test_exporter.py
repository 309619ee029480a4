"""Subscriptions as CSV: complete, safe to open in a spreadsheet, and on record."""

import json

import pytest

from newsletter.ledger.audit import AuditEntry
from newsletter.subscribers.models import SubscriptionStatus, TrackingState
from newsletter.subscribers.transfer import exporter
from newsletter.subscribers.transfer.exporter import iterate_csv, record_export
from newsletter.subscribers.transfer.import_file import inspect_file
from newsletter.subscribers.transfer.importer import import_file
from newsletter.web.csv_output import escape_formula
from tests.support.clock import NOW

HEADER = "address,language,list,status,confirmed_at,unsubscribed_at,source,tracking,measured,objections\r\n"


@pytest.fixture
def run(app, finnish):
    """Run ``newsletter subscribers export`` with these options."""
    return lambda *options: app.test_cli_runner().invoke(args=["subscribers", "export", *options])


def test_every_subscription_is_one_row(run, make_subscriber, finnish, english, sign_up):
    sign_up("eero@example.com")
    make_subscriber("meri@example.com", [finnish, english], tracking=TrackingState.GRANTED)
    make_subscriber("aino@example.com", [english], status=SubscriptionStatus.UNSUBSCRIBED)

    at = "2026-03-03T09:30:00+00:00"
    assert run().stdout_bytes.decode() == (
        HEADER + "eero@example.com,fi,suomeksi,pending,,,form,unknown,no,\r\n"
        f"meri@example.com,fi,suomeksi,confirmed,{at},,,granted,yes,\r\n"
        f"meri@example.com,fi,in-english,confirmed,{at},,,granted,yes,\r\n"
        f"aino@example.com,en,in-english,unsubscribed,{at},{at},,unknown,no,\r\n"
    )


def test_one_list_can_be_exported_alone(run, make_subscriber, finnish, english):
    make_subscriber("meri@example.com", [finnish, english])

    rows = run("--list", "in-english").stdout.splitlines()[1:]

    assert [row.split(",")[2] for row in rows] == ["in-english"]


def test_the_source_is_what_the_import_said(run, finnish, tmp_path):
    path = tmp_path / "t.csv"
    header = "address,source,consent_text,consented_at,proof"
    path.write_text(f"{header}\nmeri@example.com,Messut 2024,Tilaan,2024-05-31,3\n", encoding="utf-8")
    import_file(inspect_file(path), [finnish], now=NOW, actor="console", progress=bool)

    (row,) = run().stdout.splitlines()[1:]

    assert row == "meri@example.com,fi,suomeksi,confirmed,2024-05-30T21:00:00+00:00,,Messut 2024,unknown,no,"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\0"])
def test_cells_that_a_spreadsheet_would_run_get_a_leading_quote(start):
    assert escape_formula(f"{start}1+1") == f"'{start}1+1"


def test_an_address_is_never_a_formula(run, make_subscriber, finnish):
    make_subscriber("=cmd|'/c calc'!a0@example.com", [finnish])
    make_subscriber("+358@example.com", [finnish])

    rows = run().stdout.splitlines()[1:]

    assert [row.split(",")[0] for row in rows] == ["'=cmd|'/c calc'!a0@example.com", "'+358@example.com"]


def test_all_pages_together_are_complete(app, make_subscriber, finnish, monkeypatch):
    monkeypatch.setattr(exporter, "PAGE_SIZE", 2)
    addresses = [f"tilaaja{number}@example.com" for number in range(5)]
    for address in addresses:
        make_subscriber(address, [finnish])

    pages = list(iterate_csv([], "newsletter"))

    assert [len(page.splitlines()) for page in pages] == [1, 2, 2, 1]
    assert [row.split(",")[0] for row in "".join(pages[1:]).splitlines()] == addresses


def test_an_export_is_on_record_before_anything_goes_out(app, make_subscriber, finnish, english, stored):
    make_subscriber("meri@example.com", [finnish, english])

    record_export([english], purpose="record", now=NOW, actor="staff:7")

    (entry,) = stored(AuditEntry)
    assert (entry.action, entry.actor, entry.at) == ("subscribers exported", "staff:7", NOW)
    assert entry.details == {
        "lists": ["in-english"],
        "purpose": "record",
        "subscriptions": 1,
        "left_out_objected": 0,
    }


def test_a_file_is_written_for_its_owner_alone(run, make_subscriber, finnish, tmp_path):
    make_subscriber("meri@example.com", [finnish])
    out = tmp_path / "tilaajat.csv"

    done = run("--out", str(out), "--json")

    assert json.loads(done.stdout) == {
        "file": str(out),
        "purpose": "newsletter",
        "subscriptions": 1,
        "left_out": 0,
    }
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.read_bytes().decode().startswith(HEADER + "meri@example.com,fi,")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--json"], 2, "--json reports on a file; name it with --out."),
        (["--list", "puuttuva"], 1, "There is no list called puuttuva."),
        (["--out", "missing/tilaajat.csv"], 1, "Could not open file 'missing/tilaajat.csv'"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(run, options, code, message):
    done = run(*options)

    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr.splitlines()[-1]
