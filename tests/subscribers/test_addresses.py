"""What counts as an address, and when two are the same (SU-9)."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter.errors import AddressInvalid
from newsletter.subscribers.addresses import Address, hash_address, mask_address, parse_address


def test_the_local_part_is_kept_as_given_and_compared_without_case():
    address = parse_address("  Meri.Virta+Uutiset@Example.COM ")

    assert address == Address(text="Meri.Virta+Uutiset@example.com", key="meri.virta+uutiset@example.com")


def test_dots_and_plus_tags_make_another_address():
    keys = {
        parse_address(text).key for text in ("meri@example.com", "me.ri@example.com", "meri+1@example.com")
    }

    assert len(keys) == 3


def test_a_domain_beyond_ascii_is_kept_as_its_a_label():
    address = parse_address("meri@Pöytä.example")

    assert address.text == "meri@xn--pyt-sla1g.example"


def test_an_a_label_and_its_unicode_form_are_one_address():
    assert parse_address("meri@xn--pyt-sla1g.example").key == parse_address("meri@pöytä.example").key


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a" * 64 + "@example.com", id="local part of 64"),
        pytest.param("a@" + ("b" * 63 + ".") * 3 + "c" * 57 + ".fi", id="254 in all"),
        pytest.param("o'brien/sales=eu@example.com", id="rare signs"),
    ],
)
def test_an_address_at_the_limits_is_taken(text):
    assert parse_address(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("meri.example.com", id="no at sign"),
        pytest.param("@example.com", id="no local part"),
        pytest.param("meri@", id="no domain"),
        pytest.param("meri@example", id="no dot in the domain"),
        pytest.param("meri@exa mple.com", id="a space"),
        pytest.param("meri..virta@example.com", id="two dots"),
        pytest.param("meri@example.com,kalle@example.com", id="two addresses"),
        pytest.param("Meri <meri@example.com>", id="a name beside it"),
        pytest.param('"meri virta"@example.com', id="a quoted local part"),
        pytest.param("meri@[192.0.2.1]", id="an IP address"),
        pytest.param("märi@example.com", id="a local part beyond ASCII"),
        pytest.param("meri@example.com\r\nBcc: kalle@example.com", id="a second header"),
        pytest.param("meri\x00@example.com", id="a NUL"),
        pytest.param("a" * 65 + "@example.com", id="local part of 65"),
        pytest.param("a@" + ("b" * 63 + ".") * 3 + "c" * 58 + ".fi", id="255 in all"),
        pytest.param("meri@" + "ö" * 60 + ".example", id="too long as A-label"),
        pytest.param("a" * 288 + "@example.com", id="300 in all"),
    ],
)
def test_what_mail_cannot_be_sent_to_is_refused(text):
    with pytest.raises(AddressInvalid):
        parse_address(text)


@settings(max_examples=30)
@given(st.builds("{}@{}.fi".format, st.text(min_size=1), st.text(min_size=1)))
@example("meri@ex\u00adample.com")
def test_whatever_is_typed_gives_a_short_ascii_address_or_a_refusal(text):
    try:
        address = parse_address(text)
    except AddressInvalid:
        return

    assert (address.text.isascii(), address.text.isprintable(), " " in address.text) == (True, True, False)
    assert len(address.text) <= 254


def test_the_mask_shows_the_first_letter_and_the_domain():
    assert mask_address("meri.virta@example.com") == "m•••@example.com"


def test_the_hash_of_an_address_takes_a_key(app):
    # HMAC-SHA-256 with the tests' suppression key: without the key nobody can try addresses.
    assert hash_address("meri@example.com") == (
        "9e4f21f1fe1df249e745f838b8cf0e0dda49c5bb7db524e241b6a48b9b85cc7b"
    )
