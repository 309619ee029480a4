"""Ten thousand copies, hostile throughout: a strict byte checker of our own, and the stdlib's parser."""

import email
import email.policy
import random
import re
from email.headerregistry import Address

from newsletter.mail.smtp.client import _dot_stuffed
from newsletter.sending.message.mime_template import compile_message, placeholder

COPIES = 10_000
#: A copy costs microseconds, compiling milliseconds.
COPIES_OF_EACH = 100
TRAPS = [
    ".", "..", "\n.\n", "\n..x\n", "=", "=20", " \n", "\t\n", "ä" * 60, "😀" * 30, "a" * 1200, "From x\n", "--=_", "\u2028",
    "\x85", "\x0b", "\r\n", "\r", "=?utf-8?q?=0D=0ABcc=3A?=", "<script>", "\ufeff", "\u202e", "Bcc: kaikki@example.com\n",
]  # fmt: skip
ONCE = ("From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type")
HEADER = re.compile(rb"[!-9;-~]+:(?:[ \t]|$)")


def check_bytes(message: bytes) -> None:
    """Hold to RFC 5322 and 2045: line ends, line lengths, and the shape of the header."""
    assert message.endswith(b"\r\n")
    assert set(message.replace(b"\r\n", b"")).isdisjoint(b"\r\n\0")
    assert message.isascii()
    lines = message.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    head = lines[: lines.index(b"")]
    assert [one for one in head if not HEADER.match(one) and not (one[:1] in b" \t" and one.strip())] == []
    names = [line.partition(b":")[0].decode().lower() for line in head if line[:1] not in b" \t"]
    assert [names.count(name.lower()) for name in ONCE] == [1] * len(ONCE)
    assert not {"bcc", "cc", "reply-to"} & set(names)


def unstuffed(wire: bytes) -> bytes:
    """Do what a server does with the content it is given."""
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in wire.split(b"\r\n"))


def text(chance: random.Random) -> str:
    return "".join(chance.choices([*TRAPS, "sana ", "hyvää päivää "], k=chance.randint(0, 30)))


def line(chance: random.Random) -> str:
    return " ".join(text(chance).split())[:250].strip("\x0b\x85\u2028 ") or "Uutiset"


def test_ten_thousand_hostile_copies_are_fit_for_the_wire():
    chance = random.Random(10_000)
    for _edition in range(COPIES // COPIES_OF_EACH):
        subject, plain, html = line(chance), text(chance), text(chance)
        name = line(chance)[:60].replace("?", "")  # the stdlib decodes what looks like an encoded word
        sender = str(Address(name, "uutiset", "kirjakauppa.example"))
        compiled = compile_message(
            [
                ("From", sender), ("To", placeholder("to")), ("Subject", subject), ("Date", placeholder("date")),
                ("Message-ID", f"<{placeholder('id')}@kirjakauppa.example>"), ("List-Unsubscribe", f"<https://x.example/{placeholder('id')}>"),
            ],
            f"{plain}\n{placeholder('id')}\n", f"{html}<a href='https://x.example/{placeholder('id')}'>.</a>",
        )  # fmt: skip
        for copy in range(COPIES_OF_EACH):
            token = "".join(chance.choices("abcXYZ019-_.", k=chance.choice([1, 40, 900]))).strip(".") or "a"
            values = {
                "to": f"lukija{copy}@example.com",
                "date": "Sun, 22 Mar 2026 03:00:00 +0200",
                "id": token,
            }
            message = compiled.render({key: value.encode() for key, value in values.items()})
            check_bytes(message)
            assert unstuffed(_dot_stuffed(message)) == message
            if copy % 10 == 0:  # parsing is the slow part
                parsed = email.message_from_bytes(message, policy=email.policy.default)
                assert (parsed["Subject"], parsed["To"]) == (subject, values["to"])
                assert [part.get_content_type() for part in parsed.iter_parts()] == [
                    "text/plain",
                    "text/html",
                ]
                assert not parsed.defects
