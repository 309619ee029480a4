"""A real Postfix on loopback: what it takes comes back later, and its own reports set the right state.

It has a configuration and a queue of its own, listens on ports that need no privilege, and ends with
the test. Its master has to be root's, so elsewhere than in a container of root's this is skipped.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from newsletter.bounces.models import Bounce
from newsletter.bounces.sources.lmtp import LmtpServer
from newsletter.db import db
from newsletter.sending.models import Delivery
from newsletter.subscribers.models import Subscriber
from newsletter.subscribers.suppressions import find_suppression
from tests.bounces.conftest import status_of, totals_of
from tests.support.missing import lacking

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mx.example
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_reject_unlisted_recipient = no
smtp_host_lookup = native
virtual_mailbox_domains = example.com
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = texthash:{folder}/etc/people
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
message_size_limit = 100000
virtual_mailbox_limit = 120000
transport_maps = texthash:{folder}/etc/transport
notify_classes =
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
delay_warning_time = 1s
maximal_queue_lifetime = 4s
bounce_queue_lifetime = 5s
"""
MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
PEOPLE = "tilaaja@example.com tilaaja/\ntaynna@example.com taynna\n"
#: Who is written to, and what becomes of the mail.
READERS = ("tilaaja", "tuntematon", "taynna", "myohassa", "torjuttu")


@pytest.fixture
def engine() -> str:
    return "sqlite"  # what Postfix says does not depend on it


@pytest.fixture
def postfix(start_smtp_server, real_app) -> Iterator[int]:
    """Start Postfix, with what comes back going to our listener; yields its port."""
    if shutil.which("postfix") is None:
        lacking("There is no postfix here. On Debian: apt install postfix")
    if os.getuid() != 0:
        pytest.skip("Only root may start a Postfix.")
    picky = start_smtp_server()
    picky.answer("message", "554 5.7.1 Message rejected as unwanted")
    folder = Path(tempfile.mkdtemp(prefix="postfix-"))
    with LmtpServer(real_app, "127.0.0.1", 0) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            port = _configure(folder, picky.port, listener.server_address[1])
            _run(folder, "start")
            yield port
        finally:
            _run(folder, "stop")
            listener.shutdown()
            thread.join()
            shutil.rmtree(folder)


def _configure(folder: Path, picky: int, listener: int) -> int:
    folder.chmod(0o755)
    for name in ("etc", "spool", "data", "mail"):
        (folder / name).mkdir()
    full = folder / "mail" / "taynna"
    full.write_bytes(b"x" * 119_990)
    owner = pwd.getpwnam("postfix")
    for path in (folder / "data", folder / "mail", full):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    port = _free_port()
    transport = {
        "kirjakauppa.example": f"lmtp:inet:127.0.0.1:{listener}",
        "myohassa@example.com": "retry:4.2.1 Greylisted, come back later",
        "torjuttu@example.com": f"smtp:[127.0.0.1]:{picky}",
    }
    files = {
        "main.cf": MAIN.format(folder=folder, uid=owner.pw_uid, gid=owner.pw_gid),
        "master.cf": MASTER.format(port=port),
        "people": PEOPLE,
        "transport": "".join(f"{name} {way}\n" for name, way in transport.items()),
    }
    for name, text in files.items():
        (folder / "etc" / name).write_text(text)
    return port


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(folder: Path, command: str) -> None:
    subprocess.run(["postfix", "-c", folder / "etc", command], check=command == "start", capture_output=True)


def eventually(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        db.session.rollback()
        assert time.monotonic() < deadline, reports()
        time.sleep(0.1)
    db.session.rollback()


def reports() -> dict[str, set[str]]:
    """Return what came back, by the reader's name."""
    rows = db.session.execute(
        sa.select(Subscriber.address, Bounce.kind, Bounce.status)
        .join(Bounce, Bounce.subscriber_id == Subscriber.id)
        .order_by(Bounce.id)
    ).all()
    db.session.rollback()
    found: dict[str, set[str]] = {}
    for address, kind, status in rows:
        found.setdefault(address.partition("@")[0], set()).add(f"{kind.value} {status}")
    return found


def test_sb5_what_a_real_mail_server_reports_sets_the_right_state(
    postfix, make_app, make_list, make_subscriber, start, send_due
):
    fi = make_list()
    people = {name: make_subscriber(f"{name}@example.com", [fi]) for name in READERS}
    campaign = start([fi])
    through = make_app(mail_server="127.0.0.1", mail_port=postfix)

    assert send_due(through) == 5  # Postfix takes everything; what follows comes back by itself
    eventually(lambda: len(reports()) == 4 and len(reports()["myohassa"]) == 2)

    assert reports() == {
        "tuntematon": {"hard 5.1.1"},
        "taynna": {"soft 5.2.2"},
        "torjuttu": {"ours 5.7.1"},
        "myohassa": {"delayed 4.2.1", "soft 4.2.1"},
    }
    states = {name: status_of((campaign, person)) for name, person in people.items()}
    assert states == dict.fromkeys(READERS, "bounced") | {"tilaaja": "accepted"}
    assert totals_of(campaign, "accepted", "bounced") == (5, 4)
    suppressed = [name for name, person in people.items() if find_suppression(person.address_key)]
    assert suppressed == ["tuntematon"]
    assert db.session.query(Delivery).count() == 5
    db.session.rollback()
