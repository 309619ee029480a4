"""What the commands report, to people and to programs."""

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import Campaign
from newsletter.db import db
from newsletter.privacy.retention.purge import REPORTED_KINDS
from newsletter.running import demo
from newsletter.sending.lifecycle.start import start_campaign
from newsletter.staff.models import Role, StaffInvitation
from newsletter.subscribers.lists import get_lists
from newsletter.subscribers.models import SubscriptionStatus, TrackingState
from tests.support.clock import NOW

# --- lists and subscribers -------------------------------------------------------------------------


def test_a_list_is_made_as_described(newsletter):
    result = newsletter(
        "lists", "create", "--slug", "suomeksi", "--name", "Suomenkielinen  uutiskirje", "--language", "fi",
        "--topics", "Uutuudet", "--frequency", "Kerran kuussa",
    )  # fmt: skip

    (made,) = get_lists(["suomeksi"])
    assert result.stdout == "List suomeksi is ready.\n"
    assert (made.name, made.language, made.topics, made.frequency, made.created_at) == (
        "Suomenkielinen uutiskirje",
        "fi",
        "Uutuudet",
        "Kerran kuussa",
        NOW,
    )


def test_a_program_learns_the_number_of_a_new_list(as_json):
    made = as_json("lists", "create", "--slug", "suomeksi", "--name", "Uutiset", "--language", "fi")

    assert made == {"id": get_lists(["suomeksi"])[0].id, "slug": "suomeksi"}


def test_without_lists_the_way_to_make_one_is_shown(newsletter, as_json):
    assert newsletter("lists", "show").stdout == (
        "There are no lists yet. Make one: newsletter lists create --help\n"
    )
    assert as_json("lists", "show") == []


def test_each_list_shows_how_many_are_on_it(newsletter, as_json, make_list, make_subscriber):
    finnish = make_list("suomeksi", "Uutiset")
    make_list("in-english", "News", "en")
    for status in (*SubscriptionStatus, SubscriptionStatus.CONFIRMED):
        make_subscriber(lists=[finnish], status=status)

    assert newsletter("lists", "show").stdout.splitlines() == [
        "suomeksi                        2 confirmed      1 pending  Uutiset",
        "in-english                      0 confirmed      0 pending  News",
    ]
    assert as_json("lists", "show")[0] == {
        "slug": "suomeksi",
        "name": "Uutiset",
        "language": "fi",
        "is_public": True,
        "pending": 1,
        "confirmed": 2,
        "unsubscribed": 1,
    }


def test_a_subscriber_is_found_in_any_spelling(newsletter, make_list, make_subscriber):
    make_subscriber("Meri@example.com", [make_list("suomeksi")], tracking=TrackingState.GRANTED)

    assert newsletter("subscribers", "show", "MERI@EXAMPLE.COM").stdout.splitlines() == [
        "Meri@example.com, fi, tracking granted",
        "  suomeksi                 confirmed",
    ]


def test_a_program_gets_all_that_is_held_on_a_subscriber(as_json, make_list, make_subscriber):
    make_subscriber("meri@example.com", [make_list("suomeksi")])

    held = as_json("subscribers", "show", "meri@example.com")

    assert (held["address"], held["tracking"], held["since"]) == (
        "meri@example.com",
        "unknown",
        "2026-03-03T09:30:00+00:00",
    )
    assert held["subscriptions"] == [
        {
            "list": "suomeksi",
            "status": "confirmed",
            "since": "2026-03-03T09:30:00+00:00",
            "confirmed_at": "2026-03-03T09:30:00+00:00",
            "unsubscribed_at": None,
        }
    ]


# --- campaigns -------------------------------------------------------------------------------------


@pytest.fixture
def sent(make_campaign, make_list, make_subscriber, send_due) -> Campaign:
    """A campaign that one subscriber has got."""
    uutiset = make_list("suomeksi")
    make_subscriber("meri@example.com", [uutiset])
    campaign: Campaign = make_campaign([uutiset])
    start_campaign(campaign.id, now=NOW, actor="staff:1")
    send_due()
    return campaign


def test_a_draft_is_made_of_a_markdown_file(newsletter, make_list, letter):
    make_list("suomeksi")

    result = newsletter("campaigns", "create", "--list", "suomeksi", "--subject", "Uutisia", "--body", letter)

    made = db.session.scalars(sa.select(Campaign)).one()
    assert result.stdout == (f"Campaign {made.id} is a draft. Send it: newsletter campaigns send {made.id}\n")
    assert (made.subject, made.editions[0].body) == (
        "Uutisia",
        "Hei!\n\n[Lue lisää](https://www.kirjakauppa.example/uutiset)\n",
    )


def test_a_byte_order_mark_is_no_part_of_the_text(newsletter, make_list, letter):
    make_list("suomeksi")
    letter.write_text("# Hei!", encoding="utf-8-sig")

    newsletter("campaigns", "create", "--list", "suomeksi", "--subject", "Uutisia", "--body", letter)

    assert db.session.scalars(sa.select(Campaign)).one().editions[0].body == "# Hei!"


def test_a_program_goes_from_file_to_figures(as_json, make_list, make_subscriber, letter, send_due):
    make_subscriber("meri@example.com", [make_list("suomeksi")])

    made = as_json("campaigns", "create", "--list", "suomeksi", "--subject", "Uutisia", "--body", letter)
    sent = as_json("campaigns", "send", made["id"])
    send_due()
    figures = as_json("campaigns", "stats", made["id"])

    assert sent == {"id": made["id"], "status": "sending", "recipients": 1, "scheduled_at": None}
    assert (figures["status"], figures["recipients"], figures["accepted"]) == ("sent", 1, 1)


def test_a_campaign_shows_how_far_it_is(newsletter, as_json, sent):
    assert newsletter("campaigns", "status", sent.id).stdout == (
        f"Campaign {sent.id}, Maaliskuun uutiset: sent (1 accepted)\n"
    )
    assert as_json("campaigns", "status", sent.id)["deliveries"]["accepted"] == 1


def test_the_figures_are_for_people_and_for_programs(newsletter, as_json, sent):
    assert newsletter("campaigns", "stats", sent.id).stdout.splitlines()[0] == (
        f"Campaign {sent.id}: Maaliskuun uutiset (sent)"
    )
    assert set(as_json("campaigns", "stats", sent.id)) >= {
        "recipients", "accepted", "failed", "bounced", "complained", "skipped", "uncertain", "unsubscribed",
        "opens", "clicks", "links", "as_of",
    }  # fmt: skip


# --- the rest --------------------------------------------------------------------------------------


def test_an_invitation_is_printed_once_and_kept_as_a_hash(newsletter):
    result = newsletter("staff", "create", "Anna@Kirjakauppa.example", "--role", "sender")

    link = result.stdout.splitlines()[-1]
    kept = db.session.scalars(sa.select(StaffInvitation)).one()
    assert link.startswith("http://127.0.0.1:8000/staff/first/")
    assert (kept.address, kept.role, link.rpartition("/")[2] in kept.token_hash) == (
        "anna@kirjakauppa.example",
        Role.SENDER,
        False,
    )


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("staff create anna@kirjakauppa.example --role viewer", {"address", "role", "link"}),
        ("privacy purge --dry-run", {*REPORTED_KINDS, "left_out", "dry_run", "as_of"}),
    ],
)
def test_a_program_can_read_every_report(as_json, words, keys):
    assert set(as_json(*words.split())) == keys


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ("db upgrade", {"revision"}),
        ("db check", {"differences"}),
        ("doctor", {"settings", "database", "notes"}),
        ("privacy purge --any-day", {*REPORTED_KINDS, "left_out", "dry_run"}),
        ("demo", {"lists", "subscribers", "campaigns", "opens and clicks"}),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_program_can_read_what_the_whole_database_says(real_app, as_json, monkeypatch, words, keys):
    monkeypatch.setattr(demo, "SUBSCRIBERS", 100)  # enough for each kind of them

    assert set(as_json(*words.split())) >= keys


def test_no_secret_is_in_the_doctors_report(real_app, newsletter):
    text = newsletter("doctor").stdout

    assert ("NEWSLETTER_SECRET_KEY" in text, "NEWSLETTER_SUPPRESSION_KEY" in text) == (True, True)
    assert ("the secret key of" in text, "the suppression key of" in text) == (False, False)


def test_only_commands_of_ours_are_offered(app):
    ours = {
        "campaigns",
        "db",
        "demo",
        "doctor",
        "lists",
        "privacy",
        "run",
        "staff",
        "subscribers",
        "web",
        "worker",
    }

    assert set(app.cli.commands) - {"routes", "shell"} >= ours
    assert {"users", "roles"} & set(app.cli.commands) == set()
