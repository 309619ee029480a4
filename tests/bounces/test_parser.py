"""SB-5, SB-6: what a message says, whoever wrote it, and that no message is too much for the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.bounces.judging import judge
from newsletter.bounces.models import ReportKind
from newsletter.bounces.parser import OTHER_REASONS, parse_message
from newsletter.mail.replies.classify import status_in
from newsletter.mail.replies.models import Said, Stage
from newsletter.mail.replies.rules import REASONS, RULES
from tests.bounces.conftest import BY_NAME, CORPUS


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_each_message_of_the_corpus_is_what_its_name_says(path):
    assert parse_message(path.read_bytes()).kind.value == path.stem.partition("--")[0]


def test_the_corpus_has_every_class_but_leaving():
    assert len(CORPUS) >= 40
    assert {path.stem.partition("--")[0] for path in CORPUS} == {kind.value for kind in ReportKind} - {
        "unsubscribe"
    }


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_line_ends_make_no_difference(path):
    content = path.read_bytes()

    assert parse_message(content.replace(b"\n", b"\r\n")).kind is parse_message(content).kind


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        ("5.1.1", "", ReportKind.HARD),
        ("5.1.2", "", ReportKind.HARD),
        ("5.1.3", "", ReportKind.HARD),
        ("5.1.6", "", ReportKind.HARD),
        ("5.1.10", "", ReportKind.HARD),
        ("5.2.1", "", ReportKind.HARD),
        (None, "556 5.1.10 Domain does not accept mail", ReportKind.HARD),
        (None, "550 user unknown", ReportKind.HARD),
        ("5.2.2", "", ReportKind.SOFT),
        ("4.4.7", "", ReportKind.SOFT),
        ("5.0.0", "550 5.2.2 mailbox full", ReportKind.SOFT),
        ("5.9.9", "nobody knows", ReportKind.SOFT),
        (None, "", ReportKind.SOFT),
        ("5.7.1", "rejected: user unknown or blocked", ReportKind.OURS),
        ("5.7.515", "", ReportKind.OURS),
        ("5.1.8", "", ReportKind.OURS),
        ("5.5.0", "550 5.5.0 blocked by policy: user unknown", ReportKind.OURS),
        ("5.1.1", "550 5.1.1 rejected: listed at a DNSBL", ReportKind.OURS),
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
    assert isinstance(parse_message(content).kind, ReportKind)


@given(st.data())
def test_no_damage_to_a_real_report_raises(data):
    content = bytearray(data.draw(st.sampled_from(CORPUS)).read_bytes())
    for _turn in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 80)))
        content[start:end] = data.draw(st.binary(max_size=40))

    assert isinstance(parse_message(bytes(content)).kind, ReportKind)


@pytest.mark.parametrize("length", [10, 200, 500, 650])
def test_a_report_cut_short_blames_nobody(length):
    content = BY_NAME["postfix-unknown-user"].read_bytes()[:length]

    assert parse_message(content).kind is not ReportKind.HARD
