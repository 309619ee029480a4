"""A real name server on this machine, which knows what a test tells it."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

#: ``{"kirjakauppa.example TXT": ["v=spf1 -all"]}``
Zone = Mapping[str, list[str]]


class NameServer:
    """Answers over UDP on 127.0.0.1; a name it does not know does not exist. It can be told to say nothing."""

    def __init__(self) -> None:
        self.zone: dict[str, list[str]] = {}
        self.is_silent = self.is_broken = False
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def setting(self) -> str:
        """What DNS_SERVER has to be."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def stop(self) -> None:
        """Answer nobody any more."""
        port = self._socket.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", port))
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            wire, sender = self._socket.recvfrom(4096)
            if not wire:
                return
            if not self.is_silent:
                with suppress(dns.exception.DNSException):
                    self._socket.sendto(self._answer(wire), sender)

    def _answer(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire)
        question: Any = query.question[0]
        name, kind = (
            question.name.to_text(omit_final_dot=True).lower(),
            dns.rdatatype.to_text(question.rdtype),
        )
        self.asked.append(f"{name} {kind}")
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        records = self.zone.get(f"{name} {kind}", [])
        if self.is_broken:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            texts = [_quoted(text) for text in records] if kind == "TXT" else records
            answer.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", kind, texts))
        elif not any(known.startswith(f"{name} ") for known in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer.to_wire()


def _quoted(text: str) -> str:
    """Write a text in pieces of 255 characters at most, as a zone has it."""
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))
