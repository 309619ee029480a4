"""The checks before sending: each finds its fault, says what to do, and knows whether it blocks."""

from dataclasses import replace

import pytest

from newsletter.campaigns.content.checks import check_edition
from newsletter.campaigns.content.compose import PREFERENCES_PLACEHOLDER, UNSUBSCRIBE_PLACEHOLDER, compose
from newsletter.campaigns.models import Edition

pytestmark = pytest.mark.parametrize("engine", ["sqlite"])

GOOD = "# Uutiset\n\nHei! [Lue](https://kirja.example/)\n\n![Kansi](https://kirja.example/k.png)"


@pytest.fixture
def check(app):
    """Return what is wrong with a text as (code, is_error)."""

    def check(body=GOOD, subject="Uutiset", preview=""):
        edition = Edition(language="fi", subject=subject, preview=preview, body=body)
        found = check_edition(edition)
        assert all(item.message % item.values and item.advice and item.language == "fi" for item in found)
        return [(item.code, item.is_error) for item in found]

    return check


def test_nothing_is_wrong_with_a_good_letter(check):
    assert check() == []


@pytest.mark.parametrize("part", ["html", "text"])
@pytest.mark.parametrize(
    ("mark", "code"),
    [(UNSUBSCRIBE_PLACEHOLDER, "unsubscribe_link"), (PREFERENCES_PLACEHOLDER, "details_link")],
)
def test_mu1_a_letter_without_a_way_out_in_either_part_is_an_error(app, part, mark, code):
    edition = Edition(language="fi", subject="Uutiset", preview="", body=GOOD)
    parts = compose(edition)
    broken = replace(parts, **{part: getattr(parts, part).replace(mark, "https://kirja.example/")})

    assert [(item.code, item.is_error) for item in check_edition(edition, broken)] == [(code, True)]


@pytest.mark.parametrize("body", ["", "  \n", "![](https://kirja.example/k.png)"])
def test_an_empty_text_part_is_an_error(check, body):
    assert ("text_empty", True) in check(body)


@pytest.mark.parametrize("body", ["Hei ![](https://k.example/k.png)", "Hei ![ ](https://k.example/k.png)"])
def test_mf8_a_picture_without_alternative_text_blocks_sending(check, body):
    assert check(body) == [("alt_missing", True)]


@pytest.mark.parametrize(
    "body",
    [
        "[Hinnat](#hinnat)",
        "[Hinnat](#)",
        "[Hinnat]()",
        "[Hinnat](/hinnat)",
        "[Hinnat](hinnat.html)",
        "[Hinnat](www.kirja.example)",
        "::: button\nVaraa aika\n:::",
    ],
)
def test_a_link_that_leads_nowhere_is_an_error(check, body):
    assert check(body) == [("dead_anchor", True)]


@pytest.mark.parametrize(
    "body",
    [
        "[Hinnat](#hinnat)\n\n## Hinnat",
        "[Ää](#äänikirjat)\n\n## Äänikirjat",
        "[Soita](tel:+358401234567) [Kirjoita](mailto:info@kirja.example)",
    ],
)
def test_a_link_to_a_heading_a_telephone_or_a_mailbox_leads_somewhere(check, body):
    assert check(body) == []


@pytest.mark.parametrize("body", ["[Lue](http://kirja.example/)", "Hei ![Kansi](http://kirja.example/k.png)"])
def test_an_address_without_encryption_is_a_warning(check, body):
    assert check(body) == [("http_link", False)]


@pytest.mark.parametrize(
    "left",
    ["{{ nimi }}", "{% if x %}", "*|FNAME|*", "%%etunimi%%", "[[nimi]]", "XXX", "Lorem ipsum dolor", "TODO"],
)
def test_a_placeholder_left_over_is_an_error_wherever_it_stands(check, left):
    assert check(f"Hei {left}") == [("placeholder", True)]
    assert check(subject=f"Hei {left}") == [("placeholder", True)]
    assert check(preview=f"Hei {left}") == [("placeholder", True)]


@pytest.mark.parametrize("words", ["100 % alennus", "hinta {alkaen}", "koko XXL", "metodologia", "50 %% off"])
def test_ordinary_words_are_no_placeholders(check, words):
    assert check(f"Hei {words}") == []


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("Hei\n\n[Lue](https://a.example/a b.pdf)", 3),
        ("[Lue] (https://a.example/)", 1),
        ("(Lue)[https://a.example/]", 1),
        ("Hei\n![Kansi](https://a.example/a b.png)", 2),
        ("[Lue][ei ole]", 1),
        ("Hei **lihava **", 1),
        ("Hei\n**lihava", 2),
        ("Osta ** nyt ** heti", 1),
        ("*vino *", 1),
        ("~~vanha hinta", 1),
        ("Hei\n\n#Otsikko", 3),
        ("::: Button\n[x](https://a.example/)", 1),
        (":: button", 1),
        ("Hei\n:::", 2),
        ("+++", 1),
        ("yksi\n\n+++\n\nkaksi", 3),
        ("::: columns\nyksi\n+++\nkaksi", 1),
        ("::: button\n[x](https://a.example/)", 1),
        ("> ::: columns\n> yksi\n\nkaksi", 1),
        ("::: columns\n::: button\n[x](https://a.example/)\n:::", 2),
        ("```\nkoodi", 1),
        ("Hei <b>sinä</b>", 1),
        ("Hei<br>sinä", 1),
        ("<!-- muista -->", 1),
        ("| a | b |\n| 1 | 2 |", 1),
        ("| x |\n|---|\n| a |\n| **b |", 4),
    ],
)
def test_markup_that_did_not_become_markup_is_an_error_with_its_line(app, body, line):
    edition = Edition(language="fi", subject="Uutiset", preview="", body=body)

    found = [item for item in check_edition(edition) if item.code == "markup"]

    assert (found[0].is_error, found[0].line) == (True, line)
    assert f"Line {line}: " in found[0].message % found[0].values


@pytest.mark.parametrize(
    "body",
    [
        "\\*\\*ok\\*\\* \\[a](b) \\<b> \\#joulu",
        "\\#joulu\n\\:::\n\\+++",
        "`**koodi **` ja `[x](y z)` ja `<b>`",
        "    **koodi **",
        "Hinta 10 €* ja 20 €\n\n*Koskee verkkokauppaa",
        "#1 myydyin, 5 * 3 = 15, a_b_c, snake_case, 3 < 5, <3",
        "*** Uutuus *** ja ***",
        "Nimi: ____________",
        "[1] viite, [x], (y) [z]",
        "Klo 10:30::11, a::b",
        "Yhteensä: 5 + 5 +++",
        "**a** __b__ ~~c~~ *d* _e_ a**b**c\n\n***\n\n`x`",
        "[x][viite] ja [viite]\n\n[viite]: https://kirja.example/ 'Otsikko'",
        ":::: columns\nyksi\n+++\n::: button\n[x](https://a.example/)\n:::\n::::",
        "> ::: columns\n> a\n> +++\n> b\n> :::",
        "- ::: button\n  [x](https://a.example/)\n  :::\n- b",
        "> ```\n> koodi\n> ```",
        "[[1]](https://kirja.example/1)",
        "[Hinnat](https://kirja.example/?q=%C3%A4 'Hinta & laatu') &amp; &auml; https://käsi.example/ä",
        "1. a\n\n   b\n5. c\n\n24. joulukuuta\n\n| a | b |\n|:--|--:|\n| 1 | 2 |",
        "![Kansi *vino*](https://kirja.example/k.png) [![Logo](https://kirja.example/l.png)](https://kirja.example/)",
        f"| Tuote | Kuvaus |\n|---|---|\n| Kirja | {'pitkä ' * 15}|\n| Kortti | lyhyt |",
    ],
)  # fmt: skip
def test_what_became_markup_or_is_meant_as_it_stands_is_no_error(check, body):
    assert [code for code in check(body) if code[0] != "placeholder"] == []


def test_what_readers_would_not_see_is_an_error(check):
    assert check("Hei!\n\n[Huom]: kirjakauppa") == [("words_lost", True)]
    assert check("Hei!\n\n[huom]: https://kirja.example/kesä 'Kesä'") == [("words_lost", True)]


def test_parts_that_differ_are_an_error(app):
    edition = Edition(language="fi", subject="Uutiset", preview="", body=GOOD)
    parts = compose(edition)
    for broken in (replace(parts, words="Uutiset"), replace(parts, words=f"{parts.words} lisää")):
        assert "parts_differ" in [item.code for item in check_edition(edition, broken)]


def test_a_subject_that_mailboxes_cut_off_is_a_warning(check):
    assert check(subject="ä" * 60) == []
    assert check(subject="ä" * 61) == [("subject_length", False)]


def test_mf8_a_letter_over_100_kb_is_a_warning(check):
    assert check("sana " * 18_000) == []
    assert check("sana " * 20_000) == [("size", False)]
