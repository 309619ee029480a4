"""A message compiled once: whatever is written and whatever fills the holes, it arrives as it was."""

import email
import email.policy
import string
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.sending.message.mime_template import CompiledMessage, compile_message, placeholder

HOLES = ("to", "unsubscribe", "hit")
#: Where quoted-printable, dot-stuffing and the folding of lines have gone wrong before.
TRAPS = (
    ".", "..", "." * 200, "\n.", "\n.\n", " ", "\t", "   \n", "=", "=\n", "=20", "a" * 75, "a" * 76, "ä" * 40,
    "a" * 74 + "." * 9, "From ", "--", "\n--=_", "=?utf-8?q?x?=", "\u2028", "\x85", "\x0b", "\x0c", "\x1c", "€",
)  # fmt: skip

# NUL marks a hole, and a line end is a line feed: Markdown and templates see to both.
written = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=40)
pieces = st.lists(
    st.one_of(written, st.sampled_from(TRAPS), st.sampled_from(HOLES).map(placeholder)), max_size=12
)
one_line = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=250).map(str.strip)
names = st.text(
    st.characters(categories=["L", "N"], include_characters=" .,&-'()@\"\\<>"), min_size=1, max_size=60
)
tokens = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=900)


def compiled(
    text: str = "Hei!", html: str = "<p>Hei!</p>", subject: str = "Uutiset", **headers: str
) -> CompiledMessage:
    usual = {
        "From": "Kirjakauppa Oy <uutiset@kirjakauppa.example>",
        "To": placeholder("to"),
        "Subject": subject,
    }
    return compile_message(list((usual | headers).items()), text, html)


def parsed(message: bytes) -> EmailMessage:
    return email.message_from_bytes(message, policy=email.policy.default)


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


def filled(content: str, values: dict[str, bytes]) -> str:
    """Put the values where the holes are, and the line feed at the end that every part has."""
    for name, value in values.items():
        content = content.replace(placeholder(name), value.decode())
    return content if content.endswith("\n") else content + "\n"


# --- what is written -------------------------------------------------------------------------------


@given(text=pieces, html=pieces, subject=one_line, filling=st.tuples(tokens, tokens, tokens))
@example(text=["." * 200], html=[], subject="", filling=("", "", ""))
@example(text=["Hei\u2028sinä"], html=[], subject="", filling=("", "", ""))
def test_whatever_is_written_arrives_as_it_was(text, html, subject, filling):
    values = {name: token.encode() for name, token in zip(HOLES, filling, strict=True)}
    text, html = "".join(text), "".join(html)

    message = compiled(text, html, subject).render(values)

    read = parsed(message)
    assert (part(read, "plain"), part(read, "html")) == (filled(text, values), filled(html, values))
    assert (read["Subject"], read["To"]) == (subject, values["to"].decode())
    assert sorted(read.keys()) == ["Content-Type", "From", "MIME-Version", "Subject", "To"]
    assert_fit_for_the_wire(message, values)


def assert_fit_for_the_wire(message: bytes, values: dict[str, bytes]) -> None:
    lines = message.split(b"\r\n")
    body = lines[lines.index(b"") :]
    assert [line for line in lines if b"\r" in line or b"\n" in line or not line.isascii()] == []
    assert [line for line in lines if len(line) > 998 or line.startswith(b".")] == []
    assert [line for line in body if len(line) > 76 and line.removesuffix(b"=") not in values.values()] == []


@pytest.mark.parametrize("length", range(70, 80))
def test_a_line_of_dots_never_begins_a_line(length):
    message = compiled("." * length).render({"to": b"matti@example.com"})

    assert part(parsed(message), "plain") == "." * length + "\n"
    assert_fit_for_the_wire(message, {})


# --- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subject",
    [
        "ä" * 250,
        "a" * 250,
        "😀" * 250,
        "x" * 80 + "  " + "y" * 80,
        'a,b; c <d@example.com> "e"',
        "Bcc: kaikki@example.com",
        "=?utf-8?q?Hei?=",
        "=?utf-8?q?Hei=0D=0ABcc=3A_kaikki=40example=2Ecom?=",
        "Hei =?utf-8?b?w6Q=?= ä",
    ],
)  # fmt: skip
def test_a_hostile_subject_arrives_as_it_was_typed(subject):
    message = parsed(compiled(subject=subject).render({"to": b"matti@example.com"}))

    assert message["Subject"] == subject
    assert message.keys() == ["From", "To", "Subject", "MIME-Version", "Content-Type"]


@pytest.mark.parametrize("character", ["\r", "\n", "\r\n", "\0"])
@pytest.mark.parametrize("header", ["Subject", "From", "List-Help", "Feedback-ID"])
def test_mf3_no_value_starts_a_header_of_its_own(header, character):
    with pytest.raises(ValueError, match=f"{header} holds a line break"):
        compiled(**{header: f"Hei{character}Bcc: kaikki@example.com"})


@given(name=names)
def test_a_sender_of_any_name_is_one_address(name):
    sender = Address(name, "uutiset", "kirjakauppa.example")

    message = compiled(From=str(sender)).render({"to": b"matti@example.com"})

    assert [found.addr_spec for found in parsed(message)["From"].addresses] == ["uutiset@kirjakauppa.example"]


def test_a_header_with_a_hole_stays_on_one_line():
    way_out = f"<https://uutiset.kirjakauppa.example/unsubscribe/{placeholder('unsubscribe')}?lang=fi>"

    message = compiled(**{"List-Unsubscribe": way_out}).render({"to": b"", "unsubscribe": b"t" * 200})

    line = b"List-Unsubscribe: <https://uutiset.kirjakauppa.example/unsubscribe/" + b"t" * 200 + b"?lang=fi>"
    assert line in message.split(b"\r\n")


# --- the stored form -------------------------------------------------------------------------------


@given(text=pieces, html=pieces)
def test_the_stored_form_gives_the_same_message_back(text, html):
    made = compiled("".join(text), "".join(html))

    assert CompiledMessage.load(made.dump()) == made
