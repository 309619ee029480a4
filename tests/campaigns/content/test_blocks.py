"""Buttons, columns, pictures and headings: tables for mail programs, and sense in the text part."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.content.compose import compose
from newsletter.campaigns.models import Edition

pytestmark = pytest.mark.parametrize("engine", ["sqlite"])

NAME = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def write(app):
    """Compose a text: ``write(body)`` gives the tree of what was written, and its text."""

    def write(body):
        parts = compose(Edition(language="fi", subject="Uutiset", preview="", body=body))
        found = LexborHTMLParser(parts.html).css_first("td.sheet")
        assert found is not None
        return found, parts.words

    return write


def test_a_button_is_a_table_in_html_and_a_link_in_text(write):
    content, words = write("::: button\n[Varaa aika](https://kirja.example/aika)\n:::")

    (table,) = content.css("table")
    assert (table.attributes["role"], table.attributes["class"]) == ("presentation", "press")
    (link,) = table.css("td > a")
    assert (link.attributes["href"], link.text()) == ("https://kirja.example/aika", "Varaa aika")
    assert "background-color: #0b6a58" in table.css_first("td").attributes["style"]
    # Outlook knows no padding of a link.
    assert "mso-padding-alt: 13px 26px" in table.css_first("td").attributes["style"]
    assert words == "Varaa aika <https://kirja.example/aika>"


def test_two_columns_stand_beside_each_other_in_html_and_below_in_text(write):
    content, words = write("::: columns\nVasen *puoli*\n+++\nOikea\n:::\n\nLoppu")

    cells = content.css("table.columns td")
    assert [(cell.attributes["width"], cell.text().strip()) for cell in cells] == [
        ("50%", "Vasen puoli"),
        ("50%", "Oikea"),
    ]
    assert words == "Vasen puoli\n\nOikea\n\nLoppu"


def test_a_column_may_hold_a_button_and_a_list(write):
    content, words = write(
        ":::: columns\n- yksi\n- kaksi\n\n+++\n\n::: button\n[Osta](https://kirja.example/)\n:::\n::::"
    )

    left, right = content.css("table.columns > tbody > tr > td")
    assert [item.text().strip() for item in left.css("li")] == ["yksi", "kaksi"]
    assert [link.text() for link in right.css("table.press a")] == ["Osta"]
    assert words == "- yksi\n- kaksi\n\nOsta <https://kirja.example/>"


def test_three_pluses_outside_columns_are_what_they_are(write):
    content, words = write("yksi\n\n+++\n\nkaksi")

    assert content.css("table") == []
    assert words == "yksi\n\n+++\n\nkaksi"


def test_an_unfinished_block_ends_with_the_text(write):
    content, words = write("::: columns\nVasen\n+++\nOikea")

    assert [cell.text().strip() for cell in content.css("td.column")] == ["Vasen", "Oikea"]
    assert words == "Vasen\n\nOikea"


@pytest.mark.parametrize(
    "body",
    [
        "::: button",
        "::: columns\n+++\n+++\n:::",
        "::: columns\n::: button\n:::\n+++",
        "+++",
        ":::\n:::",
        "::: button\n# otsikko\n- lista\n:::",
        "> ::: columns\n> a\n> +++\n> b\n> :::",
    ],
)
def test_no_block_however_odd_breaks_the_page(app, body):
    parts = compose(Edition(language="fi", subject="Uutiset", preview="", body=body))

    page = LexborHTMLParser(parts.html)
    rows = page.css("table.page > tbody > tr > td")
    assert [row.attributes["class"] for row in rows] == ["brand", "sheet", "foot"]
    assert parts.content.count("<table") == parts.content.count("</table")


def test_a_small_heading_is_still_a_heading(write):
    content, words = write("###### Pieni\n\nteksti")

    assert [heading.text() for heading in content.css("h4")] == ["Pieni"]
    assert words == "Pieni\n~~~~~\n\nteksti"


def test_a_class_that_somebody_writes_is_only_shown(write):
    content, _words = write('<table class="press"><tr><td>x</td></tr></table>')

    assert content.css("table") == []


def test_a_picture_of_ours_has_a_width_that_outlook_believes(write):
    wide, narrow, foreign = (
        f"http://127.0.0.1:8000/pictures/{NAME}-1200x800.jpg",
        f"http://127.0.0.1:8000/pictures/{NAME}-200x80.png",
        f"https://kirja.example/pictures/{NAME}-1200x800.jpg",
    )
    content, words = write(f"![Kansi]({wide}) ![Merkki]({narrow}) ![Muu]({foreign})")

    assert [picture.attributes.get("width") for picture in content.css("img")] == ["544", "200", "544"]
    # What is from elsewhere keeps its size wherever a program knows it.
    assert [picture.attributes.get("class") for picture in content.css("img")] == ["full", None, "outside"]
    assert "width: auto" in content.css_first("img.outside").attributes["style"]
    assert words == "Kansi Merkki Muu"


def test_a_picture_in_a_column_is_half_as_wide(write):
    picture = f"http://127.0.0.1:8000/pictures/{NAME}-1200x800.jpg"
    content, _words = write(f"::: columns\n![Kansi]({picture})\n+++\nOikea\n:::")

    assert [item.attributes.get("width") for item in content.css("img")] == ["272"]


def test_a_heading_can_be_linked_to(write):
    content, _words = write("[Hinnat](#syksyn-hinnat)\n\n## Syksyn hinnat!")

    assert [heading.attributes.get("id") for heading in content.css("h2")] == ["syksyn-hinnat"]


def test_a_divider_is_a_line_in_both(write):
    content, words = write("yksi\n\n---\n\nkaksi")

    assert len(content.css("hr")) == 1
    assert words == "yksi\n\n--------------------\n\nkaksi"
