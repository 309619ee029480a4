"""SS-1: from 12 characters, not a common one, and nothing else is asked."""

import pytest

from newsletter import create_app
from newsletter.staff.auth.access import make_password_hash
from newsletter.staff.auth.passwords import (
    PasswordCommon,
    PasswordTooLong,
    PasswordTooShort,
    is_common,
    validate_password,
)
from tests.support.apps import load_settings

ADDRESS = "anna.virtanen@kirjakauppa.example"


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "Password2026!",
        "salasana12345",
        "SALASANA!!!!!",
        "qwertyuiop12",
        "qwertyuiopåasdf",
        "aaaaaaaaaaaa",
        "123456789012",
        "210987654321",
        "abcdefghijklm",
        "abcabcabcabc",
        "passwordpassword",
        "12dragon3456!",
        "iloveyou2025",
        "anna.virtanen1",
        "anna.virtanen@kirjakauppa.example",
        "Kirjakauppa2026",
    ],
)
def test_what_everybody_tries_first_is_refused(password):
    with pytest.raises(PasswordCommon):
        validate_password(password, address=ADDRESS)


@pytest.mark.parametrize(
    "password",
    [
        "neljä sanaa riviin",
        "correct horse battery",
        "Äitini vanha polkupyörä",
        "kx7vqhw2mzpt",
        "kirjakauppa suljetaan aamulla",
        "             x y z w",
    ],
)
def test_what_nobody_else_would_think_of_is_taken(password):
    validate_password(password, address=ADDRESS)


def test_a_password_is_counted_in_the_characters_one_sees():
    with pytest.raises(PasswordTooShort):
        validate_password("a\u0308" * 11, address=ADDRESS)


def test_a_password_without_end_is_refused_before_it_is_hashed():
    with pytest.raises(PasswordTooLong):
        validate_password("aä1 " * 51, address=ADDRESS)


def test_the_comparison_takes_no_time_to_speak_of():
    assert is_common("(" * 97 + "a!" * 50 + "bcd") is False


def test_a_password_costs_whoever_guesses_it_dearly(tmp_path):
    with create_app(load_settings(tmp_path)).app_context():
        kept = make_password_hash("neljä sanaa riviin")

    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
