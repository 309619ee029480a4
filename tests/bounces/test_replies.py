"""SB-5: the one judge, by the replies of the corpus; a living person is never given up."""

import pytest

from newsletter.mail.replies.classify import classify
from newsletter.mail.replies.models import Said, Stage, Whose
from newsletter.mail.replies.rules import RULES
from tests.bounces.matrix import confusion, replies


@pytest.mark.parametrize(("whose", "vendor", "said"), replies(), ids=lambda value: str(value)[:60])
def test_each_reply_is_judged_as_written_beside_it(whose, vendor, said):
    assert classify(said).whose.value == whose, vendor


def test_nobody_alive_is_given_up():
    found = confusion()

    assert {pair: number for pair, number in found.items() if pair[0] != pair[1]} == {}


def test_every_row_says_where_it_comes_from_and_ours_what_is_wrong():
    assert [rule.key for rule in RULES if not rule.source or not rule.why] == []
    assert {rule.whose for rule in RULES if rule.fault is not None} == {Whose.US}
    assert [rule.key for rule in RULES if rule.whose is Whose.US and rule.fault is None] == []


@pytest.mark.parametrize(
    "text", ["550 " + "x" * 100_000, "\n".join(["550 5.1.1"] * 500), "ユーザーが見つかりません"]
)
def test_no_answer_is_too_much(text):
    assert isinstance(classify(Said(Stage.RCPT, text, code=550)).whose, Whose)


@pytest.mark.parametrize(
    ("stage", "whose"),
    [(Stage.CONNECT, Whose.US), (Stage.EHLO, Whose.US), (Stage.MAIL, Whose.US), (Stage.DOT, Whose.US)],
)
def test_what_is_said_before_or_after_the_recipient_is_not_about_them(stage, whose):
    assert classify(Said(stage, "No.", code=550)).whose is whose
