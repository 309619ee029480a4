"""SB-5, SB-6: what a message says, whoever wrote it, and that no message is too much for the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.bounces.judging import judge
from newsletter.bounces.models import Kind
from newsletter.bounces.parser import OTHER_REASONS, read
from newsletter.mail.replies.classify import status_in
from newsletter.mail.replies.models import Said, Stage
from newsletter.mail.replies.rules import REASONS, RULES
from tests.bounces.conftest import BY_NAME, CORPUS


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_each_message_of_the_corpus_is_what_its_name_says(path):
    assert read(path.read_bytes()).kind.value == path.stem.partition("--")[0]


def test_the_corpus_has_every_class_but_leaving():
    assert len(CORPUS) >= 40
    assert {path.stem.partition("--")[0] for path in CORPUS} == {kind.value for kind in Kind} - {
        "unsubscribe"
    }


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_line_ends_make_no_difference(path):
    content = path.read_bytes()

    assert read(content.replace(b"\n", b"\r\n")).kind is read(content).kind


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        ("5.1.1", "", Kind.HARD),
        ("5.1.2", "", Kind.HARD),
        ("5.1.3", "", Kind.HARD),
        ("5.1.6", "", Kind.HARD),
        ("5.1.10", "", Kind.HARD),
        ("5.2.1", "", Kind.HARD),
        (None, "556 5.1.10 Domain does not accept mail", Kind.HARD),
        (None, "550 user unknown", Kind.HARD),
        ("5.2.2", "", Kind.SOFT),
        ("4.4.7", "", Kind.SOFT),
        ("5.0.0", "550 5.2.2 mailbox full", Kind.SOFT),
        ("5.9.9", "nobody knows", Kind.SOFT),
        (None, "", Kind.SOFT),
        ("5.7.1", "rejected: user unknown or blocked", Kind.OURS),
        ("5.7.515", "", Kind.OURS),
        ("5.1.8", "", Kind.OURS),
        ("5.5.0", "550 5.5.0 blocked by policy: user unknown", Kind.OURS),
        ("5.1.1", "550 5.1.1 rejected: listed at a DNSBL", Kind.OURS),
    ],
)
def test_sb5_the_table_blames_the_right_side(status, text, kind):
    assert judge(Said(Stage.REPORT, text, status=status))[0] is kind


def test_every_line_of_the_table_has_a_reason_in_words():
    assert set(REASONS) == {rule.key for rule in RULES}
    assert not set(REASONS) & set(OTHER_REASONS)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("550 5.1.1 no", "5.1.1"),
        ("version 2.0.0 of 10.5.1.1", None),
        ("Postfix 2.11.0, Exim 4.94.2, v5.1.1: no", None),
        ("5.0.0 then 5.2.2", "5.2.2"),
        ("no", None),
    ],
)
def test_a_status_is_found_in_a_text(text, status):
    assert status_in(text) == status


@given(st.binary(max_size=3000))
def test_no_bytes_raise(content):
    assert isinstance(read(content).kind, Kind)


@given(st.data())
def test_no_damage_to_a_real_report_raises(data):
    content = bytearray(data.draw(st.sampled_from(CORPUS)).read_bytes())
    for _turn in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 80)))
        content[start:end] = data.draw(st.binary(max_size=40))

    assert isinstance(read(bytes(content)).kind, Kind)


@pytest.mark.parametrize("length", [10, 200, 500, 650])
def test_a_report_cut_short_blames_nobody(length):
    content = BY_NAME["postfix-unknown-user"].read_bytes()[:length]

    assert read(content).kind is not Kind.HARD
