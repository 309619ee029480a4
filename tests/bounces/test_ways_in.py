"""Every way in ends in the same row: a Maildir, an IMAP mailbox, a mail server's pipe, LMTP and SMTP."""

import smtplib
import socket
import socketserver
import threading
from contextlib import contextmanager

import pytest

from newsletter.bounces.models import Bounce
from newsletter.bounces.sources.lmtp import LmtpServer, NotLoopback
from newsletter.bounces.sources.mailbox import fetch
from newsletter.db import db
from newsletter.mail.return_path import return_paths
from newsletter.running.periodic import sweep
from tests.bounces.conftest import report_on, status_of
from tests.support.apps import on_its_own


def return_path_of(sent) -> str:
    campaign, person = sent
    return return_paths().of(campaign.id, person.id)


def sources() -> list[tuple[str, str]]:
    return [(row.source, row.kind.value) for row in db.session.query(Bounce).order_by(Bounce.id)]


# --- Maildir ------------------------------------------------------------------------------------------


@pytest.fixture
def maildir(tmp_path):
    for part in ("new", "cur", "tmp"):
        (tmp_path / "Maildir" / part).mkdir(parents=True)
    return tmp_path / "Maildir"


def test_the_sweep_empties_a_maildir(sent, maildir, make_app):
    it = sent()
    (maildir / "new" / "1.host").write_bytes(report_on(return_path_of(it)))
    (maildir / "cur" / "2.host:2,S").write_bytes(b"\xff\xfe not a report")
    (maildir / "tmp" / "3.host").write_bytes(b"half of one")

    on_its_own(make_app(bounce_maildir=maildir), sweep)

    assert status_of(it) == "bounced"
    assert sources() == [("maildir", "unreadable"), ("maildir", "hard")]
    assert [path.name for path in maildir.rglob("*") if path.is_file()] == ["3.host"]


# --- IMAP ---------------------------------------------------------------------------------------------


class ImapServer(socketserver.ThreadingTCPServer):
    """As much of IMAP as the program speaks, with one mailbox."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, messages: list[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Imap)
        self.messages = dict(enumerate(messages, start=7))
        self.deleted: set[int] = set()


class _Imap(socketserver.StreamRequestHandler):
    server: ImapServer

    def handle(self) -> None:
        self.wfile.write(b"* OK here\r\n")
        for line in self.rfile:
            tag, verb, *rest = line.decode().split()
            verb = rest.pop(0) if verb == "UID" else verb
            answer = getattr(self, f"_{verb.lower()}", lambda *_rest: b"")(*rest)
            self.wfile.write(answer + f"{tag} OK done\r\n".encode())
            if verb == "LOGOUT":
                return

    def _capability(self) -> bytes:
        return b"* CAPABILITY IMAP4rev1\r\n"

    def _select(self, _folder: str) -> bytes:
        return f"* {len(self.server.messages)} EXISTS\r\n".encode()

    def _search(self, *_rest: str) -> bytes:
        return f"* SEARCH {' '.join(map(str, self.server.messages))}\r\n".encode()

    def _fetch(self, number: str, _what: str) -> bytes:
        content = self.server.messages[int(number)]
        head = f"* 1 FETCH (UID {number} BODY[] {{{len(content)}}}\r\n".encode()
        return head + content + b")\r\n"

    def _store(self, numbers: str, *_rest: str) -> bytes:
        self.server.deleted |= {int(number) for number in numbers.split(",")}
        return b""

    def _expunge(self) -> bytes:
        for number in self.server.deleted:
            del self.server.messages[number]
        return b""


@contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_imap_mailbox_is_emptied(sent, make_app, now):
    it = sent()
    with serving(ImapServer([report_on(return_path_of(it)), b"Subject: hello\r\n\r\nyou\r\n"])) as server:
        app = make_app(
            bounce_imap_server="127.0.0.1", bounce_imap_port=server.server_address[1], bounce_imap_use_ssl="no",
            bounce_imap_username="bounces", bounce_imap_password="secret",
        )  # fmt: skip

        assert on_its_own(app, fetch, now) == 2
        assert server.messages == {}

    assert status_of(it) == "bounced"
    assert sources() == [("imap", "hard"), ("imap", "unreadable")]


def test_an_imap_server_that_is_away_is_tried_again(make_app, app, now, caplog):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = make_app(bounce_imap_server="127.0.0.1", bounce_imap_port=nobody.getsockname()[1])

        assert on_its_own(away, fetch, now) == 0

    assert "mailbox of bounces not read" in caplog.messages


# --- the pipe -----------------------------------------------------------------------------------------


def test_a_mail_server_may_pipe_a_report(sent, app):
    it = sent()

    answer = app.test_cli_runner().invoke(
        args=["bounces", "read", "--json"], input=report_on(return_path_of(it))
    )

    assert answer.exit_code == 0
    assert '"kind": "hard"' in answer.output
    assert (status_of(it), sources()) == ("bounced", [("pipe", "hard")])


def test_the_recipient_of_the_envelope_is_believed_too(sent, app):
    it = sent()

    app.test_cli_runner().invoke(
        args=["bounces", "read", "--recipient", return_path_of(it)],
        input=report_on("undisclosed@kirjakauppa.example"),
    )

    assert status_of(it) == "bounced"


def test_the_console_shows_what_came_back(sent, bounce, app, tmp_path):
    bounce(sent())
    run = app.test_cli_runner().invoke
    run(args=["bounces", "read"], input=b"nothing we know")

    shown = run(args=["bounces", "show"]).output
    run(args=["bounces", "unread", "--out", str(tmp_path / "out")])

    assert "hard         1" in shown
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [b"nothing we know"]


# --- LMTP and SMTP ------------------------------------------------------------------------------------


@pytest.fixture
def listener(real_app, sent):
    """A listener beside an application whose campaign was sent; connections are threads."""
    it = sent()
    db.session.rollback()
    with serving(LmtpServer(real_app, "127.0.0.1", 0)) as server:
        yield it, server.server_address[1]


@pytest.mark.parametrize("protocol", [smtplib.SMTP, smtplib.LMTP])
def test_a_mail_server_may_hand_reports_over(listener, protocol):
    it, port = listener
    path = return_path_of(it)
    db.session.rollback()

    with protocol("127.0.0.1", port) as client:
        client.sendmail("", [path], report_on(path).replace(b"\n", b"\r\n") + b".\r\n.. dots\r\n")

    assert status_of(it) == "bounced"
    assert db.session.query(Bounce).one().source == "smtp"
    db.session.rollback()


def test_sb4_nothing_is_taken_for_a_return_path_that_is_not_ours(listener):
    it, port = listener
    forged = return_path_of(it).replace("+b0", "+b1")
    db.session.rollback()

    with smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        client.sendmail("", [forged, "anybody@kirjakauppa.example"], b"Subject: x\r\n\r\n")

    assert {code for code, _text in refused.value.recipients.values()} == {550}
    assert status_of(it) == "accepted"
    db.session.rollback()


def test_complaints_come_to_the_address_without_a_tag(listener):
    it, port = listener
    path = return_path_of(it)
    db.session.rollback()

    with smtplib.LMTP("127.0.0.1", port) as client:
        client.sendmail("", ["uutiset@kirjakauppa.example"], report_on(path, "abuse"))

    assert status_of(it) == "complained"
    db.session.rollback()


def test_a_message_that_is_cut_off_is_not_taken(listener):
    it, port = listener
    path = return_path_of(it)
    db.session.rollback()

    with socket.create_connection(("127.0.0.1", port)) as raw:
        raw.sendall(f"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{path}>\r\nDATA\r\n".encode() + report_on(path)[:-9])
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(4096):
            pass

    assert (status_of(it), db.session.query(Bounce).count()) == ("accepted", 0)
    db.session.rollback()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("DATA", b"503"), ("RCPT TO:<x@y.example>", b"503"), ("MAIL FROM: x", b"501"), ("VRFY x", b"500"),
        ("_say", b"500"), ("handle", b"500"), ("NOOP", b"250"), ("QUIT", b"221"), ("HELO x", b"250"),
    ],
)  # fmt: skip
def test_each_command_gets_its_answer(listener, said, answer):
    _it, port = listener

    with socket.create_connection(("127.0.0.1", port)) as raw:
        stream = raw.makefile("rwb")
        stream.readline()
        stream.write(f"{said}\r\n".encode())
        stream.flush()

        assert stream.readline()[:3] == answer


def test_it_listens_on_this_machine_only(app):
    with pytest.raises(NotLoopback):
        LmtpServer(app, "192.0.2.1", 0)
