"""From Markdown to the two parts: the same words and links in both, and nothing that could harm."""

import re
from collections.abc import Callable

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from newsletter.campaigns.content.compose import Parts, compose
from newsletter.campaigns.models import Edition

# What an edition looks like does not depend on the database.
pytestmark = pytest.mark.parametrize("engine", ["sqlite"])


@pytest.fixture
def write(app) -> Callable[..., Parts]:
    """Compose an edition of a text."""

    def write(body: str, language: str = "fi", preview: str = "") -> Parts:
        return compose(Edition(language=language, subject="Maaliskuun uutiset", preview=preview, body=body))

    return write


def content_of(parts: Parts) -> LexborNode:
    """Return the element of the HTML that holds what was written."""
    found = LexborHTMLParser(parts.html).css_first("td.sheet")
    assert found is not None
    return found


def text_of(parts: Parts) -> str:
    """Return what was written, as the text part has it."""
    return parts.text.partition("\n\n--\n")[0]


def addresses_in(parts: Parts) -> tuple[list[str | None], list[str]]:
    """Return where the links lead, in the HTML and in the text."""
    in_html = [node.attributes["href"] for node in content_of(parts).css("a[href]")]
    return in_html, re.findall(r"[a-z]+:[^\s<>]+", text_of(parts))


# --- links -----------------------------------------------------------------------------------------


def test_links_are_the_same_in_both_parts_wherever_they_stand(write):
    parts = write(
        "# [Otsikko](https://kirja.example/1)\n\n"
        "Lue **[tämä](https://kirja.example/2)** ja <https://kirja.example/3>\n\n"
        "- [a](https://kirja.example/4)\n\n> [b](https://kirja.example/5)\n\n"
        "| x |\n|---|\n| [c](https://kirja.example/6) |\n\n"
        "[![Kansi](https://kirja.example/kansi.png)](https://kirja.example/7)"
    )

    addresses = [f"https://kirja.example/{number}" for number in range(1, 8)]
    assert addresses_in(parts) == (addresses, addresses)
    assert list(parts.links) == addresses


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://kirja.example/?a=1&b=2&copy=3", "https://kirja.example/?a=1&b=2&copy=3"),
        ("https://kirja.example/?q='sana'", "https://kirja.example/?q='sana'"),
        ('https://kirja.example/?q="sana"', "https://kirja.example/?q=%22sana%22"),
        ("https://kirja.example/ä?ö#å", "https://kirja.example/%C3%A4?%C3%B6#%C3%A5"),
        ("<https://kirja.example/a b>", "https://kirja.example/a%20b"),
        ("https://käsi.example/%20(1)", "https://xn--ksi-qla.example/%20(1)"),
    ],
)
def test_an_address_with_odd_characters_is_the_same_in_both_parts(write, written, address):
    parts = write(f"[Lue]({written})")

    assert addresses_in(parts) == ([address], [address])
    assert parts.links == (address,)


def test_a_link_that_occurs_twice_is_one_link(write):
    parts = write("[a](https://kirja.example/1) [b](https://kirja.example/2) [c](https://kirja.example/1)")

    assert parts.links == ("https://kirja.example/1", "https://kirja.example/2")


def test_a_link_whose_words_are_its_address_is_written_once_in_the_text(write):
    parts = write("<https://kirja.example/1>")

    assert text_of(parts) == "https://kirja.example/1"


@pytest.mark.parametrize("address", ["mailto:info@kirja.example", "tel:+358401234567", "/uutiset", "#alku"])
def test_only_addresses_on_the_web_can_be_tracked(write, address):
    parts = write(f"[Ota yhteyttä]({address})")

    assert parts.links == ()


# --- harmless --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "&#106;avascript:alert(1)",
        "vbscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_would_run_something_is_no_link(write, address):
    content = content_of(write(f"[x]({address}) [y](<{address}>) ![z](<{address}>) <{address}>"))

    assert content.css("[href], [src]") == []


def test_an_address_of_another_kind_is_a_link_in_neither_part(write):
    parts = write("[Hinnasto](ftp://kirja.example/hinnasto)")

    assert addresses_in(parts) == ([], [])


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        '<img src="https://paha.example/x.png" onerror="alert(1)">',
        '<a href="https://paha.example/">x</a>',
        "</td></tr></table><style>*{display:none}</style>",
        "<!-- x --><iframe src=//paha.example></iframe>",
    ],
)
def test_ss7_raw_html_is_shown_and_does_nothing(write, html):
    parts = write(f"Katso {html} tätä")

    assert [node.tag for node in content_of(parts).css("td > *")] == ["p"]
    assert content_of(parts).text().strip() == f"Katso {html} tätä"
    assert (text_of(parts), parts.links) == (f"Katso {html} tätä", ())


def test_a_title_cannot_break_out_of_its_attribute(write):
    content = content_of(write("""[x](https://kirja.example/ '"><script>alert(1)</script>')"""))

    assert [node.tag for node in content.css("p, p *")] == ["p", "a"]
    assert content.css_first("a").attributes["title"] == '"><script>alert(1)</script>'


# --- the text part ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Hei *sinä* ja **minä**, `koodi`", "Hei sinä ja minä, koodi"),
        ("# Otsikko\n\nLeipä", "Otsikko\n=======\n\nLeipä"),
        ("## Ei\n\nLeipä", "Ei\n---\n\nLeipä"),
        ("###### Pieni\n\nLeipä", "Pieni\n~~~~~\n\nLeipä"),
        ("- # Otsikko\n\n  Leipä\n- toinen", "- Otsikko\n  =======\n\n  Leipä\n\n- toinen"),
        ("- yksi\n- kaksi\n\nloppu", "- yksi\n- kaksi\n\nloppu"),
        ("3. kolme\n4. neljä", "3. kolme\n4. neljä"),
        ("> Hyvä kirja", "> Hyvä kirja"),
        ("> Hyvä\n> kirja", "> Hyvä\n> kirja"),
        ("![Kirjan kansi](https://kirja.example/k.png)", "Kirjan kansi"),
        ("[![Kansi](https://k.example/k.png)](https://k.example/1)", "Kansi <https://k.example/1>"),
        ("    let x = 1\n    let y = 2", "let x = 1\nlet y = 2"),
        ("alku\n\n***\n\nloppu", "alku\n\n--------------------\n\nloppu"),
        ("| aika | b |\n|---|---|\n| 1 | 2 |\n| x | |", "aika  b\n----  -\n1     2\nx"),
        (
            f"| Tuote | Kuvaus |\n|---|---|\n| Kirja | {'pitkä ' * 15}|\n| Kortti | lyhyt |",
            f"Tuote: Kirja\nKuvaus: {'pitkä ' * 14}pitkä\n\nTuote: Kortti\nKuvaus: lyhyt",
        ),
        ("> | a | b |\n> |---|---|\n> | 1 | 2 |", "> a  b\n> -  -\n> 1  2"),
        ("rivi\\\ntoinen", "rivi\ntoinen"),
        ("Katu 1\n00100 Helsinki", "Katu 1\n00100 Helsinki"),
        ("- a\n  - b\n    1. c\n    2. d\n- e", "- a\n  - b\n    1. c\n    2. d\n- e"),
        ("1. a\n\n   jatkuu\n2. b", "1. a\n\n   jatkuu\n\n2. b"),
        ("> - a\n>\n>   b", "> - a\n>\n>   b"),
    ],
)
def test_the_text_part_reads_like_a_letter(write, written, text):
    parts = write(written)

    assert text_of(parts) == text


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        ("24. joulukuuta myymälä on suljettu", ["24. joulukuuta myymälä on suljettu"]),
        ("1. joulukuuta avaamme", ["1. joulukuuta avaamme"]),
        ("08. maaliskuuta", ["08. maaliskuuta"]),
        ("2) vaihtoehto", ["2) vaihtoehto"]),
        (
            "24. joulukuuta suljettu\n31. joulukuuta auki",
            ["24. joulukuuta suljettu", "31. joulukuuta auki"],
        ),
        ("Auki:\n1. tammikuuta\n6. tammikuuta", ["Auki:", "1. tammikuuta", "6. tammikuuta"]),
        ("- Auki\n  1. tammikuuta", ["Auki", "1. tammikuuta"]),
    ],
)
def test_a_date_at_the_start_of_a_line_is_no_list(write, written, lines):
    parts = write(written)

    content = content_of(parts)
    assert content.css("ol") == []
    assert [line.strip() for line in content.text().splitlines() if line.strip()] == lines
    assert [line.strip(" -") for line in text_of(parts).splitlines()] == lines


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("1. a\n2. b", ["1", "2"]),
        ("24. a\n25. b\n26. c", ["24", "25", "26"]),
        ("1. a\n1. b", ["1", "1"]),
        ("1. a\n\n   lisää\n5. b", ["1", "5"]),
        ("007. a\n\n     lisää\n0. b", ["7", "0"]),
    ],
)
def test_the_numbers_of_a_list_are_those_that_were_typed(write, written, numbers):
    parts = write(written)

    (items,) = content_of(parts).css("ol")
    counted = int(items.attributes.get("start") or 1)
    shown = []
    for item in items.css("li"):
        counted = int(item.attributes.get("value") or counted)
        shown.append(str(counted))
        counted += 1
    assert shown == numbers
    assert [number.lstrip("0") or "0" for number in re.findall(r"(?m)^(\d+)\.", text_of(parts))] == numbers


def test_a_single_line_break_is_one_in_both_parts(write):
    parts = write("Katu 1\n00100 Helsinki")

    assert len(content_of(parts).css("p > br")) == 1
    assert text_of(parts) == "Katu 1\n00100 Helsinki"


@pytest.mark.parametrize(
    ("written", "address", "text"),
    [
        ("https://kirja.example/a?b=1.", "https://kirja.example/a?b=1", "https://kirja.example/a?b=1."),
        ("(www.kirja.example/a)", "https://www.kirja.example/a", "(https://www.kirja.example/a)"),
        ("info@kirja.example!", "mailto:info@kirja.example", "info@kirja.example!"),
        ("mailto:info@kirja.example", "mailto:info@kirja.example", "mailto:info@kirja.example"),
    ],
)
def test_a_bare_address_is_a_link(write, written, address, text):
    parts = write(f"Katso {written}")

    (link,) = content_of(parts).css("a")
    assert link.attributes["href"] == address
    assert f"Katso {written}" == content_of(parts).text().strip()
    assert text_of(parts) == f"Katso {text}"


@pytest.mark.parametrize(
    "written",
    [
        "`https://kirja.example`",
        "https\\://kirja.example",
        "kirja.example",
        "//kirja.example",
        "ftp://kirja.example",
        "www.a|",
    ],
)
def test_what_is_not_meant_as_an_address_is_no_link(write, written):
    assert content_of(write(f"Katso {written}")).css("a") == []


def test_the_words_of_a_link_are_no_second_link(write):
    parts = write("[www.kirja.example **https://muu.example**](https://kirja.example/1)")

    assert parts.links == ("https://kirja.example/1",)


@pytest.mark.parametrize(
    ("body", "preview", "shown"),
    [
        ("# Kesä\n\nTule käymään!", "Lyhyesti", "Lyhyesti"),
        ("# Kesä\n\nTule [käymään](https://kirja.example/1)!", "", "Kesä Tule käymään!"),
        ("![](https://kirja.example/k.png)", "", ""),
        ("sana " * 80, "", "sana " * 21 + "sana…"),
    ],
)
def test_the_line_beside_the_subject_is_filled(write, body, preview, shown):
    page = LexborHTMLParser(write(body, preview=preview).html)

    assert page.css_first(".preheader").text() == shown
    filler = page.css_first(".filler")
    assert len(filler.text()) >= 100
    assert set(filler.text()) == {"\N{COMBINING GRAPHEME JOINER}", "\N{NO-BREAK SPACE}"}
    assert "display: none" in filler.attributes["style"]


def test_a_nul_in_the_text_makes_no_hole(write):
    parts = write("Hei \0to\0!")

    assert text_of(parts) == "Hei \N{REPLACEMENT CHARACTER}to\N{REPLACEMENT CHARACTER}!"
    assert "\0" not in parts.html


# --- what stands around ----------------------------------------------------------------------------


def test_mf7_the_footer_names_the_sender_and_the_ways_out(write):
    parts = write("Hei!")

    assert parts.text.partition("\n--\n")[2] == (
        "Saat tämän viestin, koska olet tilannut uutiskirjeen.\n\n"
        "Poistu uutiskirjeeltä:\nhttps://mark.invalid/unsubscribe\n\n"
        "Omat tilaustiedot:\nhttps://mark.invalid/preferences\n\n"
        "Tietosuojaseloste:\nhttp://127.0.0.1:8000/privacy?lang=fi\n\n"
        "Kirjakauppa Oy\nY-tunnus: 1234567-8\nKatu 1, 00100 Helsinki\n"
        "Yhteystiedot: tietosuoja@kirjakauppa.example"
    )


def test_the_footer_has_the_same_links_in_both_parts(write):
    parts = write("Hei!")

    footer = LexborHTMLParser(parts.html).css_first("td.foot")
    assert footer is not None
    assert [node.attributes["href"] for node in footer.css("a")] == [
        "https://mark.invalid/unsubscribe",
        "https://mark.invalid/preferences",
        "http://127.0.0.1:8000/privacy?lang=fi",
    ]


def test_an_edition_speaks_its_own_language(write):
    parts = write("Hello!", language="en")

    page = LexborHTMLParser(parts.html).css_first("html")
    assert page is not None
    assert page.attributes["lang"] == "en"
    assert "You receive this mail because you have subscribed to the newsletter." in parts.text.splitlines()


def test_a_newsletter_can_be_read_aloud(write):
    page = LexborHTMLParser(write("![Kansi](https://kirja.example/k.png)", preview="Lyhyesti").html)

    assert {table.attributes.get("role") for table in page.css("table")} == {"presentation"}
    assert [picture.attributes.get("alt") for picture in page.css("img")] == ["Kansi", ""]
    assert [node.text() for node in page.css("title, .preheader")] == ["Maaliskuun uutiset", "Lyhyesti"]
