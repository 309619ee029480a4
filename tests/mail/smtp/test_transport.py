import pytest

from newsletter.mail.backends import open_transport
from newsletter.mail.smtp.transport import Reply
from tests.support.smtp import CERTIFICATE, Received

MESSAGE = b"Subject: Hei\r\n\r\nHyv=C3=A4=C3=A4 p=C3=A4iv=C3=A4=C3=A4\r\n"
SENDER = "uutiset@news.example"


@pytest.fixture
def connect(make_app):
    """Open the way out to a server, with further settings."""
    opened = []

    def open_to(server, **settings):
        context = make_app(**server.settings | settings).app_context()
        context.push()
        opened.append(context)
        return open_transport()

    yield open_to
    for context in reversed(opened):
        context.pop()


@pytest.fixture(params=["plain", "pipelining"])
def smtp_server(request, start_smtp_server):
    return start_smtp_server(pipelining=request.param == "pipelining")


@pytest.fixture
def transport(connect, smtp_server):
    with connect(smtp_server) as opened:
        yield opened


def send(transport, *recipients):
    return [transport.send(SENDER, recipient, MESSAGE) for recipient in recipients or ["a@example.com"]]


def test_an_accepted_message_arrives_byte_for_byte(transport, smtp_server):
    (reply,) = send(transport)

    assert reply == Reply(250, "2.0.0 Queued")
    assert reply.is_accepted
    assert smtp_server.messages == [Received(SENDER, ("a@example.com",), MESSAGE)]


def test_a_message_without_a_last_line_end_gets_one(transport, smtp_server):
    transport.send(SENDER, "a@example.com", b"Subject: Hei\r\n\r\nMoi")

    assert smtp_server.messages[0].content == b"Subject: Hei\r\n\r\nMoi\r\n"


def test_one_connection_serves_many(transport, smtp_server):
    send(transport, "a@example.com", "b@example.com")

    assert smtp_server.heard == [
        "connect", "EHLO", "MAIL", "RCPT", "DATA", "message", "MAIL", "RCPT", "DATA", "message",
    ]  # fmt: skip


def test_no_connection_is_opened_for_nothing(connect, smtp_server):
    with connect(smtp_server):
        pass

    assert smtp_server.heard == []


@pytest.mark.parametrize(
    ("text", "reply", "retryable"),
    [
        ("550 5.1.1 Unknown user", Reply(550, "5.1.1 Unknown user"), False),
        ("451 4.7.1 Come back later", Reply(451, "4.7.1 Come back later"), True),
        ("452 4.2.2 Mailbox full", Reply(452, "4.2.2 Mailbox full"), True),
    ],
)
def test_a_refused_recipient_does_not_stop_the_next_one(transport, smtp_server, text, reply, retryable):
    smtp_server.answer("RCPT", text, to="gone@example.com")

    replies = send(transport, "gone@example.com", "here@example.com")

    assert replies == [reply, Reply(250, "2.0.0 Queued")]
    assert (replies[0].is_accepted, replies[0].is_retryable) == (False, retryable)
    assert [message.recipients for message in smtp_server.messages] == [("here@example.com",)]


@pytest.mark.parametrize("stage", ["MAIL", "DATA", "message"])
def test_a_refusal_at_any_stage_is_the_answer(transport, smtp_server, stage):
    smtp_server.answer(stage, "554 5.7.1 No", times=1)

    assert send(transport, "a@example.com", "b@example.com") == [
        Reply(554, "5.7.1 No"),
        Reply(250, "2.0.0 Queued"),
    ]


def test_a_greylisted_message_is_accepted_when_it_comes_back(transport, smtp_server):
    smtp_server.greylist()

    replies = send(transport, "a@example.com", "a@example.com")

    assert replies == [Reply(451, "4.7.1 Greylisted, come back later"), Reply(250, "2.0.0 Queued")]


def test_a_server_that_says_goodbye_is_connected_to_anew(transport, smtp_server):
    smtp_server.answer("RCPT", "421 4.3.2 Shutting down", times=1)

    replies = send(transport, "a@example.com", "b@example.com")

    assert replies == [Reply(421, "4.3.2 Shutting down"), Reply(250, "2.0.0 Queued")]
    assert smtp_server.heard.count("connect") == 2


@pytest.mark.parametrize("stage", ["connect", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_connection_lost_before_the_content_was_sent_leaves_no_doubt(transport, smtp_server, stage):
    smtp_server.drop(stage, times=1)

    first, second = send(transport, "a@example.com", "b@example.com")

    assert (first.code, first.is_uncertain, first.is_retryable) == (0, False, True)
    assert second == Reply(250, "2.0.0 Queued")
    assert [message.recipients for message in smtp_server.messages] == [("b@example.com",)]


def test_a_connection_lost_after_the_final_dot_leaves_a_doubt(transport, smtp_server):
    smtp_server.drop("message", times=1)

    first, second = send(transport, "a@example.com", "b@example.com")

    assert (first.code, first.is_uncertain, first.is_retryable) == (0, True, False)
    assert second == Reply(250, "2.0.0 Queued")
    assert len(smtp_server.handed_over) == 2


def test_a_server_that_closes_between_two_messages_is_connected_to_anew(transport, smtp_server):
    send(transport, "a@example.com")
    smtp_server.stop()
    smtp_server.start()

    replies = send(transport, "b@example.com", "b@example.com")

    assert replies[-1] == Reply(250, "2.0.0 Queued")
    assert not replies[0].is_uncertain


def test_a_server_that_is_not_there_could_not_be_asked(transport, smtp_server):
    smtp_server.stop()

    assert send(transport) == [Reply(0, "ConnectionRefusedError")]


def test_a_server_that_does_not_want_us_says_nothing_about_the_recipient(transport, smtp_server):
    smtp_server.answer("connect", "554 5.7.1 Your address is on a list")

    (reply,) = send(transport)

    assert reply == Reply(0, "554 5.7.1 Your address is on a list")
    assert reply.is_retryable


@pytest.mark.parametrize("stage", ["connect", "MAIL", "DATA"])
def test_a_server_that_falls_silent_is_given_up(connect, smtp_server, stage):
    smtp_server.stall(stage)

    with connect(smtp_server, mail_timeout=0.1) as transport:
        (reply,) = send(transport)

    assert (reply.code, reply.is_uncertain) == (0, False)


def test_a_server_silent_after_the_final_dot_leaves_a_doubt(connect, smtp_server):
    smtp_server.stall("message")

    with connect(smtp_server, mail_timeout=0.1) as transport:
        (reply,) = send(transport)

    assert (reply.code, reply.is_uncertain) == (0, True)


ENCRYPTED = pytest.mark.parametrize(
    ("server", "setting"), [({"starttls": True}, "mail_use_tls"), ({"implicit_tls": True}, "mail_use_ssl")]
)


@ENCRYPTED
def test_a_certificate_nobody_vouches_for_is_refused(connect, start_smtp_server, server, setting):
    smtp_server = start_smtp_server(**server)

    with connect(smtp_server, **{setting: True}) as transport:
        (reply,) = send(transport)

    assert reply == Reply(0, "SSLCertVerificationError")
    assert smtp_server.messages == []


@ENCRYPTED
def test_a_certificate_we_trust_is_accepted(connect, start_smtp_server, monkeypatch, server, setting):
    smtp_server = start_smtp_server(**server)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

    with connect(smtp_server, **{setting: True}) as transport:
        assert send(transport) == [Reply(250, "2.0.0 Queued")]


def test_sb2_encryption_that_is_wanted_is_never_done_without(connect, smtp_server):
    with connect(smtp_server, mail_use_tls=True) as transport:
        assert send(transport) == [Reply(0, "SMTPNotSupportedError")]

    assert smtp_server.messages == []


def test_the_tests_reach_nobody_but_this_machine(make_app):
    app = make_app(mail_server="192.0.2.1")

    with app.app_context(), open_transport() as transport, pytest.raises(UserWarning, match=r"192\.0\.2\.1"):
        send(transport)


# --- pipelining ------------------------------------------------------------------------------------


def send_in_turn(transport, *recipients):
    """Send to each, announcing the next one behind the final dot."""
    pairs = zip(recipients, [*recipients[1:], None], strict=True)
    return [
        transport.send(SENDER, one, MESSAGE, following=(SENDER, following) if following else None)
        for one, following in pairs
    ]


def test_sb2_what_was_announced_is_sent_and_every_reply_is_matched(transport, smtp_server):
    smtp_server.answer("RCPT", "550 5.1.1 Unknown user", to="b@example.com")
    smtp_server.answer("message", "451 4.3.0 Not now", to="d@example.com")

    replies = send_in_turn(transport, *(f"{letter}@example.com" for letter in "abcde"))

    assert [reply.code for reply in replies] == [250, 550, 250, 451, 250]
    assert [message.recipients[0][0] for message in smtp_server.messages] == ["a", "c", "e"]
    assert smtp_server.heard.count("connect") == 1


def test_who_was_announced_and_is_not_sent_to_gets_nothing(transport, smtp_server):
    transport.send(SENDER, "a@example.com", MESSAGE, following=(SENDER, "left@example.com"))
    transport.send(SENDER, "b@example.com", MESSAGE)

    assert [message.recipients for message in smtp_server.handed_over] == [
        ("a@example.com",),
        ("b@example.com",),
    ]


def test_leaving_with_a_mail_announced_sends_nothing(connect, smtp_server):
    with connect(smtp_server) as transport:
        transport.send(SENDER, "a@example.com", MESSAGE, following=(SENDER, "left@example.com"))

    assert [message.recipients for message in smtp_server.handed_over] == [("a@example.com",)]


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
def test_a_used_connection_that_breaks_before_the_content_is_made_anew(transport, smtp_server, stage):
    send(transport, "a@example.com")
    smtp_server.drop(stage, times=1)

    assert send(transport, "b@example.com") == [Reply(250, "2.0.0 Queued")]
    assert len(smtp_server.handed_over) == 2


def test_a_server_that_closes_after_some_mails_gets_the_next_on_another_connection(transport, smtp_server):
    for number in range(6):
        if number % 2:
            smtp_server.answer("MAIL", "421 4.7.0 Enough", times=1)
        (reply,) = send(transport, f"{number}@example.com")
        assert reply.code == (250 if number != -1 else 421)

    assert len(smtp_server.messages) == 6


@pytest.mark.parametrize(
    "address", ["a@example.com>\r\nRCPT TO:<b@example.com", "a b@example.com", "ä@example.com"]
)
def test_an_address_never_becomes_a_command(transport, smtp_server, address):
    (reply,) = send(transport, address)

    assert (reply.code, smtp_server.handed_over) == (553, [])


@pytest.mark.parametrize("text", ["250 2.0.0 fine", "nonsense", "354"])
def test_sb2_a_reply_out_of_step_is_never_taken_for_acceptance(transport, smtp_server, text):
    smtp_server.answer("DATA" if text != "354" else "RCPT", text)

    (reply,) = send(transport)

    assert (reply.is_accepted, smtp_server.messages) == (False, [])
