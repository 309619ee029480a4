"""``newsletter tokens …``: create, list and revoke API tokens."""

from collections.abc import Sequence

import click
from flask.cli import AppGroup

from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.staff import api_tokens

tokens = AppGroup("tokens", help="Keys for programs that use the API.")


@tokens.command("create")
@click.option("--name", required=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(list(api_tokens.SCOPES)),
    help="What it may do; may be given several times.",
)
@click.option("--list", "lists", multiple=True, help="Only these lists, by slug; all without it.")
@click.option("--days", default=365, show_default=True, help="How long it is good.")
@report
def create(name: str, scopes: Sequence[str], lists: Sequence[str], days: int) -> tuple[object, str]:
    """Make a token and print it. It is shown this once."""
    made, secret = api_tokens.create_token(
        name=name, scopes=scopes, lists=lists, days=days, now=utcnow(), actor="console"
    )
    db.session.commit()
    data = {"id": made.id, "token": secret, "scopes": made.scopes, "expires_at": made.expires_at.isoformat()}
    return data, f"Token {made.id}, shown this once:\n{secret}"


@tokens.command("show")
@report
def show() -> tuple[object, str]:
    """List the tokens."""
    now = utcnow()
    rows = [
        {
            "id": token.id,
            "name": token.name,
            "prefix": token.prefix,
            "scopes": token.scopes,
            "lists": token.lists,
            "good": api_tokens.is_valid(token, now=now),
            "expires_at": token.expires_at.isoformat(),
            "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
        }
        for token in api_tokens.list_tokens()
    ]
    lines = [
        f"{row['id']}  {row['prefix']}…  {row['name']}  {'good' if row['good'] else 'over'}" for row in rows
    ]
    return rows, "\n".join(lines) or "There are no tokens."


@tokens.command("revoke")
@click.argument("number", type=int)
@report
def revoke(number: int) -> tuple[object, str]:
    """End a token at once."""
    api_tokens.revoke_token(number, now=utcnow(), actor="console")
    db.session.commit()
    return {"id": number, "good": False}, f"Token {number} opens nothing any more."
