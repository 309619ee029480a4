import re
import struct

import pytest

from newsletter.errors import LinkInvalid
from newsletter.sending.message.personalize import MESSAGE_ID
from newsletter.subscribers.links import CANCEL, CONFIRM, PREFERENCES, UNSUBSCRIBE
from newsletter.tracking.links import HIT_TOKEN
from newsletter.web.signed_tokens import SignedLink, hash_secret
from tests.support.apps import load_settings

ALL = {link.purpose: link for link in (CANCEL, CONFIRM, HIT_TOKEN, MESSAGE_ID, PREFERENCES, UNSUBSCRIBE)}
LEAVE = SignedLink("leave", "III")


@pytest.fixture
def signer(tmp_path):
    """Return the signer of a link under some keys: ``signer(LEAVE, secret_key="new")``."""
    return lambda link, **keys: link.signer(load_settings(tmp_path, **keys))


def made(link, kept, *values) -> str:
    return link.encode(kept, *values).decode("ascii")


def test_a_link_gives_back_what_it_was_made_of(sqlite_app):
    with sqlite_app.app_context():
        assert LEAVE.read(LEAVE.make(7, 0, 4_294_967_295)) == (7, 0, 4_294_967_295)


def test_bytes_come_back_as_bytes(sqlite_app):
    secret = bytes(range(16))

    with sqlite_app.app_context():
        assert CONFIRM.read(CONFIRM.make(secret, 1_772_530_200)) == (secret, 1_772_530_200)


def test_a_token_needs_no_escaping_in_an_address(signer):
    token = made(LEAVE, signer(LEAVE), 4_294_967_295, 4_160_749_567, 1_073_741_823)

    assert re.fullmatch(r"[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{24}", token)


def test_a_link_tells_the_same_with_and_without_an_application(sqlite_app):
    kept = LEAVE.signer(sqlite_app.config["NEWSLETTER"])

    with sqlite_app.app_context():
        assert LEAVE.make(1, 2, 3) == made(LEAVE, kept, 1, 2, 3)


@pytest.mark.parametrize("bit", range(8))
def test_a_token_with_one_bit_changed_is_refused(signer, bit):
    kept = signer(LEAVE)
    token = made(LEAVE, kept, 7, 2, 3).encode()

    for position in range(len(token)):
        forged = bytearray(token)
        forged[position] ^= 1 << bit
        with pytest.raises(LinkInvalid):
            LEAVE.decode(kept, forged.decode("latin-1"))


def test_every_beginning_of_a_token_is_refused(signer):
    kept = signer(LEAVE)
    token = made(LEAVE, kept, 7, 2, 3)

    for length in range(len(token)):
        with pytest.raises(LinkInvalid):
            LEAVE.decode(kept, token[:length])


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b",
        "ä.ö",
        "\0",
        "0" * 100_000,
        "AAAAAAAAAAAAAAAA." + "A" * 43,
        "AAAAAAAAAAAAAAAA." + "A" * 24,
        "%s",
        "7.2.3",
    ],
)
def test_text_we_never_made_is_refused(signer, text):
    with pytest.raises(LinkInvalid):
        LEAVE.decode(signer(LEAVE), text)


def test_a_token_with_something_behind_it_is_refused(signer):
    kept = signer(LEAVE)
    token = made(LEAVE, kept, 7, 2, 3)

    for more in ("A", ".", ".A", "/1"):
        with pytest.raises(LinkInvalid):
            LEAVE.decode(kept, token + more)


@pytest.mark.parametrize("other", [purpose for purpose in ALL if purpose != "cancel"])
def test_a_token_of_one_purpose_opens_no_other(signer, other):
    token = made(CANCEL, signer(CANCEL), 7, 2)

    with pytest.raises(LinkInvalid):
        ALL[other].decode(signer(ALL[other]), token)


def test_every_purpose_signs_for_itself():
    assert sorted(ALL) == ["cancel", "confirm", "hit", "message", "preferences", "unsubscribe"]


def test_a_token_signed_for_another_layout_is_refused(signer):
    shorter = SignedLink("leave", "II")

    with pytest.raises(LinkInvalid):
        LEAVE.decode(signer(LEAVE), made(shorter, signer(shorter), 7, 2))


def test_a_token_made_with_another_key_is_refused(signer):
    token = made(LEAVE, signer(LEAVE, secret_key="somebody else's"), 7, 2, 3)

    with pytest.raises(LinkInvalid):
        LEAVE.decode(signer(LEAVE, secret_key="ours"), token)


def test_a_token_made_with_an_earlier_key_still_opens(signer):
    token = made(LEAVE, signer(LEAVE, secret_key="first"), 7, 2, 3)

    now = signer(LEAVE, secret_key="third", secret_key_fallbacks="first,second")

    assert LEAVE.decode(now, token) == (7, 2, 3)


def test_new_tokens_are_signed_with_the_new_key(signer):
    token = made(LEAVE, signer(LEAVE, secret_key="new", secret_key_fallbacks="old"), 7, 2, 3)

    assert LEAVE.decode(signer(LEAVE, secret_key="new"), token) == (7, 2, 3)
    with pytest.raises(LinkInvalid):
        LEAVE.decode(signer(LEAVE, secret_key="old"), token)


def test_a_number_too_large_for_its_place_is_our_own_mistake(signer):
    with pytest.raises(struct.error, match="4294967295"):
        made(LEAVE, signer(LEAVE), 4_294_967_296, 2, 3)


def test_of_a_secret_only_its_hash_is_kept():
    assert hash_secret(b"secret") == "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
