"""Whatever is written well arrives in both parts, word for word; whatever is written at all breaks nothing."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.content.checks import check_edition
from newsletter.campaigns.content.compose import compose
from newsletter.campaigns.models import Edition

pytestmark = pytest.mark.parametrize("engine", ["sqlite"])

WORD = st.sampled_from(
    ["kirja", "ääni", "24.", "10–14", "5 €", "klo", "a & b", "x < y", "n:o 3", "100 %", "C#"]
)
WORDS = st.lists(WORD, min_size=1, max_size=5).map(" ".join)
SPAN = st.one_of(
    WORDS,
    WORDS.map(lambda words: f"**{words}**"),
    WORDS.map(lambda words: f"*{words}*"),
    WORDS.map(lambda words: f"`{words}`"),
    WORDS.map(lambda words: f"[{words}](https://kirja.example/ä?a=1&b=2)"),
    WORDS.map(lambda words: f"![{words}](https://kirja.example/k.png)"),
    st.sampled_from(["https://kirja.example/a_b_c", "www.kirja.example", "info@kirja.example"]),
)
LINE = st.lists(SPAN, min_size=1, max_size=3).map(lambda spans: "Sana " + " ja ".join(spans))
BLOCK = st.one_of(
    st.lists(LINE, min_size=1, max_size=3).map("\n".join),
    LINE.map(lambda line: f"## {line}"),
    st.lists(LINE, min_size=1, max_size=3).map(lambda lines: "\n".join(f"- {line}" for line in lines)),
    st.tuples(st.integers(0, 31), st.lists(LINE, min_size=1, max_size=3)).map(
        lambda of: "\n".join(f"{of[0] + number}. {line}" for number, line in enumerate(of[1]))
    ),
    st.lists(LINE, min_size=1, max_size=3).map(
        lambda lines: "\n".join(f"{number * 5}. {line}" for number, line in enumerate(lines, start=1))
    ),
    LINE.map(lambda line: f"> {line}\n>\n> - {line}"),
    st.tuples(LINE, LINE).map(lambda of: f"- {of[0]}\n  - {of[1]}\n    1. {of[0]}\n    2. {of[1]}"),
    st.tuples(WORDS, LINE).map(lambda of: f"| {of[0]} | b |\n|---|---|\n| {of[1]} | {of[0]} |"),
    st.tuples(LINE, LINE).map(lambda of: f"::: columns\n{of[0]}\n+++\n{of[1]}\n:::"),
    WORDS.map(lambda words: f"::: button\n[{words}](https://kirja.example/)\n:::"),
    WORDS.map(lambda words: f"```\n{words}\n```"),
    st.just("---"),
)
LETTER = st.lists(BLOCK, min_size=1, max_size=5).map("\n\n".join)
ODD = [*"\n -+*_~`#>|:[]()!<\\&;1.", "a", "ä", "https://", "::: button\n", "::: columns\n", ":::\n", "+++\n"]
TRAPS = st.lists(st.sampled_from([*ODD, "\n\n", "| ", "|-|\n", "24. ", "1. ", " www.a ", "**", "```\n"])).map(
    "".join
)
RELAXED = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@settings(RELAXED, max_examples=150)
@given(body=LETTER)
def test_what_is_written_well_arrives_in_both_parts(app, body):
    found = check_edition(Edition(language="fi", subject="Uutiset", preview="", body=body))

    assert [(item.code, item.message % item.values) for item in found if item.is_error] == []


@settings(RELAXED, max_examples=300)
@given(body=TRAPS)
def test_no_text_however_odd_breaks_a_letter(app, body):
    edition = Edition(language="fi", subject="Uutiset", preview="", body=body)

    parts = compose(edition)
    found = check_edition(edition, parts)

    assert "parts_differ" not in [item.code for item in found]
    assert all(1 <= item.line <= body.count("\n") + 1 for item in found if item.line is not None)
    rows = LexborHTMLParser(parts.html).css("table.page > tbody > tr > td")
    assert [row.attributes["class"] for row in rows] == ["brand", "sheet", "foot"]
