"""MIME templates: a message compiled once, with placeholders for what differs between recipients.

Header folding, quoted-printable and line lengths are computed here, so that rendering a message is joining
bytes. A placeholder in the body stands on a line of its own between soft line breaks (RFC 2045, 6.7), so
its value changes no other line. No line starts with a dot, so no dot-stuffing is needed (RFC 5321, 4.5.2).
"""

import binascii
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from newsletter.mail.message import POLICY

#: A placeholder in text that is about to be compiled: "\0name\0".
PLACEHOLDER = re.compile(r"\x00([a-z_]+)\x00")
_MAX_QP_LINE = 76


@dataclass(frozen=True, slots=True)
class CompiledMessage:
    """Alternating bytes and placeholders, beginning and ending with bytes."""

    pieces: tuple[bytes, ...]
    placeholders: tuple[str, ...]

    def render(self, values: Mapping[str, bytes]) -> bytes:
        """Return one message. Values are ASCII without line breaks, at most 900 bytes each."""
        parts: list[bytes] = [b""] * (2 * len(self.placeholders) + 1)
        parts[0::2] = self.pieces
        parts[1::2] = [values[name] for name in self.placeholders]
        return b"".join(parts)

    def dump(self) -> bytes:
        """Return the stored form: a JSON line of placeholders and sizes of the pieces, then the pieces."""
        head = json.dumps({"holes": self.placeholders, "sizes": [len(piece) for piece in self.pieces]})
        return head.encode("ascii") + b"\n" + b"".join(self.pieces)

    @classmethod
    def load(cls, stored: bytes) -> Self:
        """Read what ``dump`` wrote."""
        head, _newline, body = stored.partition(b"\n")
        shape = json.loads(head)
        pieces, start = [], 0
        for size in shape["sizes"]:
            pieces.append(body[start : start + size])
            start += size
        return cls(tuple(pieces), tuple(shape["holes"]))


def placeholder(name: str) -> str:
    """Return a placeholder, to stand in a header or a part before ``compile_message``."""
    return f"\x00{name}\x00"


def compile_message(headers: list[tuple[str, str]], text: str, html: str) -> CompiledMessage:
    """Compile a multipart/alternative message, text first.

    Raises ValueError for a header value that would start another header.
    """
    boundary = f"=_{secrets.token_hex(16)}"  # "=_" cannot occur in quoted-printable
    template = (
        "".join(_header(name, value) for name, value in headers)
        + f'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'
        + _part("plain", text, boundary)
        + _part("html", html, boundary)
        + f"--{boundary}--\r\n"
    )
    split = PLACEHOLDER.split(template)
    return CompiledMessage(tuple(piece.encode("ascii") for piece in split[0::2]), tuple(split[1::2]))


def _header(name: str, value: str) -> str:
    if not PLACEHOLDER.search(value):
        if any(character in value for character in "\r\n\0"):
            raise ValueError(f"{name} holds a line break")
        # A subject as it was typed: the factory would decode what only looks like an encoded word.
        as_typed = name == "Subject" or name.startswith("List-")
        return POLICY.fold(name, value if as_typed else POLICY.header_factory(name, value))
    # A header with a placeholder is ASCII of ours around a value of ours: folded at its comma, if at all.
    return f"{name}: " + value.replace(", ", ",\r\n ") + "\r\n"


def _part(subtype: str, content: str, boundary: str) -> str:
    return (
        f"--{boundary}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
        f"Content-Transfer-Encoding: quoted-printable\r\n\r\n{_quoted_printable(content)}\r\n"
    )


def _quoted_printable(content: str) -> str:
    """Encode around the placeholders, each of which gets a line of its own."""
    # Line ends of mail only: U+2028 and its like are characters of the text.
    lines = content.replace("\r\n", "\n").replace("\r", "\n")
    split = PLACEHOLDER.split(lines if lines.endswith("\n") else lines + "\n")
    encoded = []
    for position, piece in enumerate(split):
        if position % 2:
            encoded.append(f"=\r\n{placeholder(piece)}=\r\n")
        else:
            coded = binascii.b2a_qp(piece.encode("utf-8"), istext=True).decode("ascii").split("\n")
            if position + 1 < len(split):  # the soft break before the placeholder needs room too
                coded[-1:] = _split_line(coded[-1])
            encoded.append("\r\n".join(map(_without_leading_dot, coded)))
    return "".join(encoded)


def _split_line(line: str) -> list[str]:
    """Break a line softly when nothing more fits on it, and not inside of ``=C3``."""
    if len(line) + 3 <= _MAX_QP_LINE:
        return [line]
    cut = len(line) // 2
    cut -= 1 if line[cut - 1] == "=" else 2 if line[cut - 2] == "=" else 0
    return [line[:cut] + "=", line[cut:]]


def _without_leading_dot(line: str) -> str:
    if not line.startswith("."):
        return line
    if len(line) + 2 <= _MAX_QP_LINE:
        return "=2E" + line[1:]
    # Too long for that: a soft break behind it, and what follows may begin with a dot again.
    return "=2E=\r\n" + _without_leading_dot(line[1:])
