"""A refusal is one line, exit 1, and nothing has changed. Misuse is exit 2."""

from dataclasses import replace

import pytest

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.subscribers.models import SubscriptionStatus
from tests.subscribers.rows import every_row


@pytest.fixture(autouse=True)
def world(make_list, make_subscriber):
    """One list, with one subscriber on it."""
    make_subscriber("meri@example.com", [make_list("suomeksi")])


@pytest.fixture
def refuse(newsletter):
    """Run a command that is refused and return the line it printed."""

    def run(*arguments: object) -> str:
        before = every_row()
        result = newsletter(*arguments)
        line, *rest = result.stderr.splitlines()
        assert (result.exit_code, rest, result.stdout, every_row()) == (1, [], "", before)
        return str(line)

    return run


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("campaigns send 99", "Error: There is no campaign number 99."),
        ("campaigns status 99", "Error: There is no campaign number 99."),
        ("campaigns stats 99", "Error: There is no campaign number 99."),
        ("subscribers show kalle@example.com", "Error: There is no subscriber with this address."),
        ("subscribers show kalle", "Error: Enter an e-mail address in the form name@example.com."),
        ("privacy erase kalle@example.com", "Error: There is no subscriber with this address."),
        ("privacy purge", "Error: The purge runs in January. Say --any-day to run it today."),
        (
            "lists create --slug suomeksi --name Toinen --language fi",
            "Error: There is already a list called suomeksi.",
        ),
        (
            "lists create --slug Suomeksi! --name Toinen --language fi",
            "Error: A list needs a name, a slug of a-z, 0-9 and hyphens, and one of the languages fi, en.",
        ),
        (
            "lists create --slug ruotsiksi --name Ruotsiksi --language sv",
            "Error: A list needs a name, a slug of a-z, 0-9 and hyphens, and one of the languages fi, en.",
        ),
        (
            "staff create anna --role viewer",
            "Error: Enter an e-mail address in the form name@example.com.",
        ),
        (
            "demo",
            "Error: The database already has subscribers; the demo fills an empty one only.",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(refuse, words, line):
    assert refuse(*words.split()) == line


def test_a_refusal_is_one_line_of_text_for_a_program_too(refuse):
    assert refuse("campaigns", "stats", "99", "--json") == "Error: There is no campaign number 99."


def test_a_draft_for_an_unknown_list_is_not_made(refuse, letter):
    line = refuse("campaigns", "create", "--list", "ruotsiksi", "--subject", "Uutisia", "--body", letter)

    assert line == "Error: There is no list called ruotsiksi."


def test_a_text_in_another_encoding_is_not_guessed_at(refuse, letter):
    letter.write_bytes("Hyvää päivää".encode("latin-1"))

    line = refuse("campaigns", "create", "--list", "suomeksi", "--subject", "Uutisia", "--body", letter)

    assert line == "Error: kirje.md is not text in UTF-8. Save it as UTF-8 and try again."


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        pytest.param("", "Hei!", id="no subject"),
        pytest.param("Uutisia\r\nBcc: kalle@example.com", "Hei!", id="subject of two lines"),
        pytest.param("U" * 251, "Hei!", id="subject of 251"),
        pytest.param("Uutisia", " \n", id="no text"),
    ],
)
def test_a_draft_without_what_it_needs_is_not_made(refuse, letter, subject, body):
    letter.write_text(body)

    line = refuse("campaigns", "create", "--list", "suomeksi", "--subject", subject, "--body", letter)

    assert line == "Error: A campaign needs a subject of one line, at most 250 characters, and a text."


def test_a_campaign_to_nobody_is_not_sent(refuse, make_campaign, make_list, make_subscriber):
    english = make_list(language="en")
    make_subscriber("kalle@example.com", [english], SubscriptionStatus.PENDING)
    make_subscriber("liisa@example.com", [english], SubscriptionStatus.UNSUBSCRIBED)
    campaign = make_campaign([english])

    line = refuse("campaigns", "send", campaign.id)

    nobody = f"no confirmed subscribers on the lists of campaign {campaign.id}, so nothing was sent."
    assert line == f"Error: There are {nobody}"
    assert campaign.status is CampaignStatus.DRAFT


@pytest.mark.parametrize("status", [CampaignStatus.SENDING, CampaignStatus.SENT])
def test_a_campaign_is_not_sent_twice(refuse, make_campaign, make_subscriber, status):
    campaign = make_campaign()
    make_subscriber("kalle@example.com", [])
    campaign.status = status
    db.session.commit()

    line = refuse("campaigns", "send", campaign.id)

    assert line == f"Error: Campaign {campaign.id} is {status.value}: only a draft can be sent."


def test_a_campaign_without_a_named_sender_is_not_sent(refuse, app, make_campaign, monkeypatch):
    away = replace(
        app.config["NEWSLETTER"], base_url="https://news.example", sender_name="", sender_postal=""
    )
    monkeypatch.setitem(app.config, "NEWSLETTER", away)

    line = refuse("campaigns", "send", make_campaign().id)

    assert line == (
        "Error: Set these first, so that recipients see who writes to them:"
        " NEWSLETTER_SENDER_NAME, NEWSLETTER_SENDER_POSTAL."
    )


def test_a_purge_outside_january_is_only_counted(newsletter):
    before = every_row()

    result = newsletter("privacy", "purge", "--dry-run")

    assert (result.exit_code, result.stderr, every_row()) == (0, "", before)


# --- misuse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "last_line"),
    [
        ("campaigns send", "Error: Missing argument 'CAMPAIGN_ID'."),
        ("campaigns send kolme", "Error: Invalid value for 'CAMPAIGN_ID': 'kolme' is not a valid integer."),
        ("campaigns lähetä", "Error: No such command 'lähetä'."),
        ("lists create --slug suomeksi --name Suomeksi", "Error: Missing option '--language'."),
        (
            "campaigns create --list suomeksi --subject Uutisia --body ei-ole.md",
            "Error: Invalid value for '--body': File 'ei-ole.md' does not exist.",
        ),
        (
            "run --port 70000",
            "Error: Invalid value for '--port': 70000 is not in the range 1<=x<=65535.",
        ),
    ],
)
def test_a_misused_command_says_what_it_lacks(newsletter, words, last_line):
    before = every_row()

    result = newsletter(*words.split())

    assert (result.exit_code, result.stderr.splitlines()[-1], result.stdout) == (2, last_line, "")
    assert every_row() == before
