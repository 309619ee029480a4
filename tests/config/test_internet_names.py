"""Our own hosts and addresses: read as such at start, in the letters of DNS, or refused with the way out."""

import pytest

from newsletter.config import SettingsInvalid
from tests.support.apps import load_settings


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("sender_address", "uutiset@äänekoski.fi", "uutiset@xn--nekoski-4waa.fi"),
        ("sender_address", " uutiset+a@Kirja.example ", "uutiset+a@Kirja.example"),
        ("bounce_address", "palaute@ÄÄNEKOSKI.fi", "palaute@xn--nekoski-4waa.fi"),
        ("bounce_address", "off", "off"),
        ("base_url", "https://äänekoski.fi/", "https://xn--nekoski-4waa.fi"),
        (
            "base_url",
            "https://äänekoski.fi:8443/sähköposti",
            "https://xn--nekoski-4waa.fi:8443/s%C3%A4hk%C3%B6posti",
        ),
        ("base_url", "http://[::1]:8000", "http://[::1]:8000"),
        ("dkim_domain", "äänekoski.fi", "xn--nekoski-4waa.fi"),
        ("mail_server", "posti.äänekoski.fi", "posti.xn--nekoski-4waa.fi"),
        ("bounce_imap_server", "imap.äänekoski.fi", "imap.xn--nekoski-4waa.fi"),
        ("embed_origins", "https://www.äänekoski.fi", ("https://www.xn--nekoski-4waa.fi",)),
        ("webhook_hosts", "kauppa.äänekoski.fi", ("kauppa.xn--nekoski-4waa.fi",)),
    ],
)
def test_a_name_with_letters_of_its_language_becomes_one_of_dns(tmp_path, name, given, read):
    others = {"sender_address": "u@xn--nekoski-4waa.fi"} if name == "bounce_address" else {}

    assert getattr(load_settings(tmp_path, **others | {name: given}), name) == read


@pytest.mark.parametrize(
    ("name", "given", "way_out"),
    [
        ("sender_address", "Uutiset <u@kirja.example>", "NEWSLETTER_SENDER_NAME"),
        ("sender_address", "a@kirja.example, b@kirja.example", "one address only"),
        ("sender_address", "a@kirja.example;b@kirja.example", "one address only"),
        ("sender_address", "a b@kirja.example", "one address only"),
        ("sender_address", "päivä@kirja.example", "letters a to z before the @"),
        ("sender_address", "kirja.example", "such as news@example.com"),
        ("sender_address", "a@", "such as news@example.com"),
        ("sender_address", "a..b@kirja.example", "such as news@example.com"),
        ("sender_address", "a@kirja..example", "such as news@example.com"),
        ("sender_address", f"{'a' * 65}@kirja.example", "such as news@example.com"),
        ("bounce_address", "Palaute <p@kirja.example>", "NEWSLETTER_SENDER_NAME"),
        ("base_url", "https://ä\u2028.example", "no name that DNS knows"),
        ("mail_server", "https://smtp.kirja.example", "a server alone"),
        ("mail_server", "user@smtp.kirja.example", "a server alone"),
    ],
)
def test_what_is_no_such_name_is_refused_with_the_way_out(tmp_path, name, given, way_out):
    with pytest.raises(SettingsInvalid) as refused:
        load_settings(tmp_path, **{name: given})

    assert f"NEWSLETTER_{name.upper()}: " in str(refused.value)
    assert way_out in str(refused.value)
