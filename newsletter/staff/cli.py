"""``newsletter staff …``."""

import click
from flask.cli import AppGroup

from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.console import report
from newsletter.db import db
from newsletter.staff.access import normalize_address
from newsletter.staff.accounts import invite
from newsletter.staff.models import Role

staff = AppGroup("staff", help="Let people in.")


@staff.command("create")
@click.argument("address")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="What they may do.",
)
@report
def create(address: str, role: str) -> tuple[object, str]:
    """Print a one-time link with which a person makes their account."""
    token = invite(Role(role), address=normalize_address(address), now=utcnow(), actor="console")
    db.session.commit()
    link = invitation_url(token)
    return {
        "address": address,
        "role": role,
        "link": link,
    }, f"Give this link to {address}; it works once:\n{link}"


def invitation_url(token: str) -> str:
    """Return the address of an invitation."""
    return f"{settings().base_url}/staff/first/{token}"
