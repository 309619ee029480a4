"""``newsletter webhooks …``: manage outgoing webhooks."""

from collections.abc import Sequence
from datetime import timedelta

import click
from flask.cli import AppGroup

from newsletter.api import webhooks as domain
from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.db import db

webhooks = AppGroup("webhooks", help="Programs that are told what happens.")


@webhooks.command("create")
@click.option("--url", required=True, help="Where to tell it: https, on a host of WEBHOOK_HOSTS.")
@click.option("--event", "events", multiple=True, required=True, type=click.Choice(domain.EVENTS))
@report
def create(url: str, events: Sequence[str]) -> tuple[object, str]:
    """Begin to tell an address, and print the secret that signs it. It is shown this once."""
    made, secret = domain.create_webhook(url, events, now=utcnow(), actor="console")
    db.session.commit()
    return {"id": made.id, "secret": secret}, f"Webhook {made.id}, its secret shown this once:\n{secret}"


@webhooks.command("show")
@report
def show() -> tuple[object, str]:
    """List the webhooks."""
    rows = [
        {"id": row.id, "url": row.url, "events": row.events, "told": row.ended_at is None}
        for row in domain.all_webhooks()
    ]
    lines = [f"{row['id']}  {row['url']}  {'told' if row['told'] else 'ended'}" for row in rows]
    return rows, "\n".join(lines) or "There are no webhooks."


@webhooks.command("replay")
@click.argument("number", type=int)
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1, 720))
@report
def replay(number: int, hours: int) -> tuple[object, str]:
    """Tell an address again what it was told lately."""
    now = utcnow()
    count = domain.replay(number, since=now - timedelta(hours=hours), now=now)
    db.session.commit()
    return {"id": number, "messages": count}, f"{count} messages are on their way again."


@webhooks.command("end")
@click.argument("number", type=int)
@report
def end(number: int) -> tuple[object, str]:
    """Tell an address nothing more."""
    domain.end_webhook(number, now=utcnow(), actor="console")
    db.session.commit()
    return {"id": number, "told": False}, f"Webhook {number} is told nothing more."
