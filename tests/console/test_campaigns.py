"""``newsletter campaigns``: from a file to a schedule, without a page."""

import json

import pytest

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.models import CampaignStatus, HeldReason
from newsletter.db import db
from newsletter.staff.auth.access import make_uniquifier
from newsletter.staff.models import Role, Staff
from tests.support.clock import NOW


@pytest.fixture
def letter(tmp_path):
    path = tmp_path / "kirje.md"
    path.write_text("# Hei\n\n[Lue](https://kirja.example/)", encoding="utf-8")
    return str(path)


@pytest.fixture
def draft(make_list, make_subscriber, make_campaign):
    """A draft that reaches one person."""
    fi = make_list("suomeksi")
    make_subscriber(lists=[fi])
    return make_campaign([fi], subject="Uutiset")


def status(campaign):
    db.session.expire_all()
    return get_campaign(campaign.id).status


def test_an_edition_is_added_and_written_anew(as_json, letter, draft):
    arguments = (
        "campaigns",
        "edition",
        str(draft.id),
        "--language",
        "en",
        "--subject",
        "News",
        "--body",
        letter,
    )

    assert as_json(*arguments) == {"id": draft.id, "language": "en", "version": 2}
    assert as_json(*arguments)["version"] == 2
    shown = as_json("campaigns", "show", str(draft.id))
    assert [(item["language"], item["subject"]) for item in shown["editions"]] == [
        ("fi", "Uutiset"),
        ("en", "News"),
    ]


def test_the_newest_campaigns_are_listed(newsletter, as_json, draft):
    copy = as_json("campaigns", "duplicate", str(draft.id))["id"]

    assert [row["id"] for row in as_json("campaigns", "list")] == [copy, draft.id]
    assert newsletter("campaigns", "list").stdout.splitlines()[1].split() == [
        str(draft.id),
        "draft",
        "Uutiset",
    ]


def test_check_says_what_is_wrong_what_to_do_and_whom_it_reaches(newsletter, as_json, draft):
    draft.editions[0].body = "Hei {{ nimi }}"
    db.session.commit()

    asked = newsletter("campaigns", "check", str(draft.id), "--json")
    told = json.loads(asked.stdout)
    shown = newsletter("campaigns", "check", str(draft.id))
    text = shown.stdout.splitlines()

    assert (asked.exit_code, shown.exit_code) == (1, 1)
    assert [(item["code"], item["level"], item["edition"]) for item in told["findings"]] == [
        ("placeholder", "error", "fi")
    ]
    assert (told["recipients"], told["lists"][0]["gets"]) == (1, 1)
    assert text == [
        "error (fi): A placeholder is left over: {{ nimi }} Write there what readers are meant to see,"
        " or confirm that it is meant as it is.",
        "Recipients: 1, each of them once.",
        "  suomeksi: 1 get it; left out: 0 unconfirmed, 0 left, 0 suppressed, 0 restricted",
    ]


def test_check_names_the_line_and_a_good_letter_exits_0(newsletter, as_json, draft):
    assert as_json("campaigns", "check", str(draft.id))["findings"] == []

    draft.editions[0].body = "Hei\n\n::: Button\n[Lue](https://kirja.example/)\n:::"
    db.session.commit()
    found = json.loads(newsletter("campaigns", "check", str(draft.id), "--json").stdout)["findings"]

    assert [(item["code"], item["level"], item["line"]) for item in found] == [
        ("markup", "error", 3),
        ("markup", "error", 5),
    ]
    assert "markup" in newsletter("campaigns", "send", str(draft.id)).stderr


def test_words_that_only_look_like_a_placeholder_can_be_confirmed(newsletter, as_json, draft):
    draft.editions[0].body = "XXX Kirjamessut"
    db.session.commit()
    assert newsletter("campaigns", "check", str(draft.id)).exit_code == 1
    elsewhere = newsletter("campaigns", "confirm-words", str(draft.id), "XXXX", "--language", "fi")
    assert (elsewhere.exit_code, elsewhere.stderr) == (1, "Error: “XXXX” stands nowhere in this edition.\n")

    told = as_json("campaigns", "confirm-words", str(draft.id), "XXX", "--language", "fi")

    assert told == {"id": draft.id, "language": "fi", "confirmed": ["XXX"]}
    assert as_json("campaigns", "check", str(draft.id))["findings"] == []
    assert as_json("campaigns", "send", str(draft.id))["status"] == "sending"


def test_errors_keep_it_from_being_sent(newsletter, draft):
    draft.editions[0].body = "Hei {{ nimi }}"
    db.session.commit()

    refused = newsletter("campaigns", "send", str(draft.id))

    assert (refused.exit_code, refused.stderr) == (
        1,
        f"Error: Campaign {draft.id} has errors that have to be mended before it is sent: placeholder.\n",
    )
    assert status(draft) is CampaignStatus.DRAFT


def test_send_at_takes_a_time_in_the_business_time_zone(newsletter, as_json, draft):
    told = as_json("campaigns", "send", str(draft.id), "--at", "2027-07-15 09:00")

    assert (told["status"], told["scheduled_at"]) == ("scheduled", "2027-07-15T06:00:00+00:00")
    assert as_json("campaigns", "status", str(draft.id))["scheduled_at"] == "2027-07-15T06:00:00+00:00"
    assert as_json("campaigns", "unschedule", str(draft.id))["status"] == "draft"
    said = newsletter("campaigns", "send", str(draft.id), "--at", "2027-07-15 09:00").stdout
    assert said.startswith(f"Campaign {draft.id} is scheduled for 2027-07-15 09:00 +0300.")


@pytest.mark.parametrize(
    ("time", "said"),
    [
        ("2027-03-28 03:30", "There is no 03:30 on 2027-03-28: the clock goes from 03:00 straight to 04:00."),
        (
            "2027-10-31 03:30",
            "03:30 comes twice on 2027-10-31, when the clock goes back. Choose: 03:30+03:00 or 03:30+02:00.",
        ),
        ("huomenna", "Give a day and a time, such as 2027-01-15 09:00."),
        ("2020-01-15 09:00", "That time has passed. Choose one that is still to come."),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(newsletter, draft, time, said):
    refused = newsletter("campaigns", "send", str(draft.id), "--at", time)

    assert (refused.exit_code, refused.stderr) == (1, f"Error: {said}\n")
    assert status(draft) is CampaignStatus.DRAFT


def test_ss5_a_script_may_name_the_number_it_expects(newsletter, draft):
    assert newsletter("campaigns", "send", str(draft.id), "--recipients", "2").exit_code == 1
    assert newsletter("campaigns", "send", str(draft.id), "--recipients", "1").exit_code == 0


def test_status_says_why_it_was_paused_and_what_to_do(newsletter, as_json, draft):
    draft.status, draft.pause_reason, draft.pause_reply = CampaignStatus.PAUSED, "login", "535 5.7.8 No"
    db.session.commit()

    assert as_json("campaigns", "status", str(draft.id))["paused_for"] == "login"
    assert newsletter("campaigns", "status", str(draft.id)).stdout.endswith(
        "Paused: the mail server does not accept our user name and password. The server said: 535 5.7.8 No\n"
    )


def test_status_says_that_a_schedule_waits_for_somebody(newsletter, as_json, draft):
    draft.status, draft.scheduled_at, draft.held_reason = CampaignStatus.SCHEDULED, NOW, HeldReason.LATE
    db.session.commit()

    assert as_json("campaigns", "status", str(draft.id))["held"] == "late"
    assert newsletter("campaigns", "status", str(draft.id)).stdout == (
        f"Campaign {draft.id}, Uutiset: scheduled. It was found more than two hours after its time and was not"
        f" sent. Send it now or choose another time: newsletter campaigns send {draft.id} [--at TIME]\n"
    )


def test_pause_resume_and_cancel(as_json, newsletter, draft):
    number = str(draft.id)
    newsletter("campaigns", "send", number)

    assert [as_json("campaigns", act, number)["status"] for act in ("pause", "resume", "cancel")] == [
        "paused",
        "sending",
        "cancelled",
    ]
    refused = newsletter("campaigns", "pause", number)
    assert (refused.exit_code, refused.stderr) == (
        1, f"Error: Campaign {number} is cancelled, not being sent.\n",
    )  # fmt: skip


def test_a_test_mail_goes_to_staff_alone(newsletter, as_json, draft):
    address = "anna@kirjakauppa.example"
    db.session.add(
        Staff(email=address, password="x", fs_uniquifier=make_uniquifier(), role=Role.EDITOR, created_at=NOW)
    )
    db.session.commit()

    assert as_json("campaigns", "test", str(draft.id), "--to", address) == {"id": draft.id, "mails": 1}
    assert newsletter("campaigns", "test", str(draft.id), "--to", "meri@example.com").exit_code == 1


def test_a_list_goes_into_the_archive_and_out(as_json, make_list):
    make_list("suomeksi")

    assert as_json("lists", "archive", "suomeksi", "--private") == {"slug": "suomeksi", "is_public": False}
    assert as_json("lists", "show")[0]["is_public"] is False
    made = ("--slug", "muu", "--name", "Muu", "--language", "fi", "--private")
    as_json("lists", "create", *made)
    assert as_json("lists", "show")[1]["is_public"] is False
