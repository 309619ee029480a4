"""The setting that names the sites where the form may stand."""

import pytest

from newsletter.config import SettingsInvalid
from tests.support.apps import load_settings


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ()),
        ("https://www.kirjakauppa.example", ("https://www.kirjakauppa.example",)),
        ("https://A.example/, http://b.example:8080", ("https://a.example", "http://b.example:8080")),
        ("https://a.example:443,https://a.example", ("https://a.example",)),
        ("http://[::1]:5000", ("http://[::1]:5000",)),
    ],
)
def test_the_sites_are_read_as_browsers_write_them(tmp_path, given, read):
    assert load_settings(tmp_path, embed_origins=given).embed_origins == read


@pytest.mark.parametrize(
    "given",
    ["*", "https://*.example", "www.kirjakauppa.example", "https://a.example/tilaa", "https://a.example?x",
     "https://a@a.example", "https://a.example; script-src *", "https://a.example 'self'", "ftp://a.example",
     "null", "https://a.example:80a"],
)  # fmt: skip
def test_anything_else_than_a_site_stops_the_start(tmp_path, given):
    with pytest.raises(SettingsInvalid) as refusal:
        load_settings(tmp_path, embed_origins=given)

    assert str(refusal.value) == (
        "NEWSLETTER_EMBED_ORIGINS: name each site as https://www.example.com, with a port if it has one"
    )
