"""``newsletter bounces …``: take in what came back, and look at it."""

import sys
from pathlib import Path
from typing import BinaryIO

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError

from newsletter.bounces import queries
from newsletter.bounces.receive import receive_message
from newsletter.bounces.rejudge import rejudge
from newsletter.bounces.reputation_guard import pause_if_needed
from newsletter.bounces.sources import mailbox
from newsletter.bounces.sources.lmtp import LmtpServer
from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.mail.replies.rules import VERSION

#: Exit code EX_TEMPFAIL (sysexits.h): the mail server keeps the message and retries.
_EX_TEMPFAIL = 75

bounces = AppGroup("bounces", help="Mails that came back, and complaints.")


@bounces.command("read")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--recipient", multiple=True, help="The address it came to, where the mail server tells it.")
@report
def read(file: BinaryIO, recipient: tuple[str, ...]) -> tuple[object, str]:
    """Take in one message from a file or, for a mail server's pipe, from standard input."""
    now = utcnow()
    try:
        reading, outcome = receive_message(file.read(), source="pipe", now=now, recipients=recipient)
        db.session.commit()
        pause_if_needed(now)
    except OperationalError:
        sys.exit(_EX_TEMPFAIL)
    data = {
        "kind": reading.kind.value,
        "status": reading.status,
        "reason": reading.reason,
        "outcome": outcome.value,
    }
    return data, f"{reading.kind.value}: {outcome.value}"


@bounces.command("fetch")
@report
def fetch() -> tuple[object, str]:
    """Empty the Maildir folder and the IMAP mailbox of the settings now."""
    taken = mailbox.fetch(utcnow())
    return {"taken_in": taken}, f"{taken} messages taken in."


@bounces.command("listen")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=2525, show_default=True, type=click.IntRange(0, 65535))
@report
def listen(host: str, port: int) -> None:
    """Take in mail by SMTP or LMTP on a loopback address, until stopped."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's documented way into threads
    db.session.rollback()
    with LmtpServer(app, host, port) as listener:
        click.echo(f"Listening on {host}, port {listener.server_address[1]}.")
        try:
            listener.serve_forever()
        except KeyboardInterrupt:
            click.echo("Stopped.")


@bounces.command("rejudge")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--everything", is_flag=True, help="Judge what the rules of today decided, too.")
@report
def rejudge_all(*, dry_run: bool, everything: bool) -> tuple[object, str]:
    """Judge anew what older rules decided; give back and suppress addresses accordingly."""
    done = rejudge(utcnow(), dry_run=dry_run, everything=everything)
    data = {
        "version": VERSION,
        "looked_at": done.looked_at,
        "changed": [
            {"from": old, "to": new, "count": number} for (old, new), number in sorted(done.changed.items())
        ],
        "suppressed": done.suppressed,
        "given_back": done.given_back,
        "dry_run": dry_run,
    }
    lines = [f"{old} -> {new}: {number}" for (old, new), number in sorted(done.changed.items())]
    lines.append(
        f"{done.looked_at} judged by version {VERSION}; {done.suppressed} addresses suppressed,"
        f" {done.given_back} given back." + (" Nothing was changed." if dry_run else "")
    )
    return data, "\n".join(lines)


@bounces.command("show")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3660))
@report
def show(days: int) -> tuple[object, str]:
    """Count what came back in the last days, by class."""
    counts = {kind.value: number for kind, number in queries.count_by_kind(utcnow(), days)}
    data = {"days": days, "counts": counts}
    return data, "\n".join(f"{name:<12} {number}" for name, number in counts.items()) or "Nothing came back."


@bounces.command("unread")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write the messages there.")
@report
def unread(out: Path | None) -> tuple[object, str]:
    """List what could not be read, or names no mail of ours; with --out write the messages into a folder."""
    rows = queries.list_unreadable(size=1000, with_raw=out is not None)
    if out is not None:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for row in rows:
            (out / f"{row.id}.eml").write_bytes((row.raw or "").encode("latin-1", "replace"))
    data = [{"id": row.id, "at": row.received_at, "source": row.source} for row in rows]
    lines = [f"{row.id}  {row.received_at:%Y-%m-%d %H:%M}  {row.source}" for row in rows]
    return data, "\n".join(lines) or "Everything could be read."
