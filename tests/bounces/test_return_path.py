"""SB-4: the envelope sender is unique and unguessable, aligned with From, and read by us alone."""

import pytest

from newsletter.config import SettingsInvalid
from newsletter.mail.return_path import SentMail, return_paths
from tests.support.apps import load_settings

PATH = r"uutiset\+b[0-9a-f]{40}@kirjakauppa\.example"


@pytest.fixture
def engine() -> str:
    return "sqlite"  # no database has a part in it


def test_sb4_each_mail_has_a_return_path_of_its_own(app):
    paths = return_paths()

    made = {paths.of(campaign, person) for campaign in (0, 1, 2) for person in (1, 2, 2**31)}

    assert len(made) == 9
    assert all(len(path.partition("@")[0]) <= 64 and path.endswith("@kirjakauppa.example") for path in made)


def test_a_return_path_says_whose_mail_it_was_in_any_case(app):
    path = return_paths().of(3, 2**31)

    assert list(return_paths().find(f"To: <{path.upper()}>")) == [("b", SentMail(3, 2**31))]
    assert list(return_paths().find(f"SRS0=ab=cd=x.example={path.partition('@')[0]}@y.example")) == [
        ("b", SentMail(3, 2**31))
    ]


def test_sb4_nobody_else_can_make_one(app, make_app):
    genuine = return_paths().of(3, 7)
    other_person = genuine.replace("0000000300000007", "0000000300000008")
    other_purpose = genuine.replace("+b", "+u")
    other_key = make_app(secret_key="another")
    with other_key.app_context():
        foreign = return_paths().of(3, 7)

    forged = [other_person, other_purpose, foreign, genuine.replace("@", "0@"), genuine[:-25]]

    assert [list(return_paths().find(text)) for text in forged] == [[]] * 5


def test_a_key_of_before_still_opens_return_paths(app, make_app):
    path = return_paths().of(3, 7)
    changed = make_app(secret_key="new", secret_key_fallbacks="the secret key of the tests")

    with changed.app_context():
        assert list(return_paths().find(path)) == [("b", SentMail(3, 7))]


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"bounce_address": "bounce@news.kirjakauppa.example"}, "bounce+b"),
        ({"bounce_address": "off"}, "uutiset@kirjakauppa.example"),
        ({"sender_address": f"{'x' * 23}@kirjakauppa.example"}, f"{'x' * 23}@kirjakauppa.example"),
    ],
)
def test_the_operator_says_where_mails_come_back_to(make_app, settings, path):
    with make_app(**settings).app_context():
        assert return_paths().of(1, 1).startswith(path)


@pytest.mark.parametrize(
    "address",
    ["bounce@elsewhere.example", "bounce@notkirjakauppa.example", f"{'b' * 23}@kirjakauppa.example", "x"],
)
def test_sb4_a_return_path_that_is_not_aligned_stops_the_start(tmp_path, address):
    with pytest.raises(SettingsInvalid, match="BOUNCE_ADDRESS"):
        load_settings(tmp_path, bounce_address=address)
