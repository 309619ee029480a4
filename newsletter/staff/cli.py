"""``newsletter staff …``: invitations, and repairs that only someone at the console can make."""

from collections.abc import Sequence
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.staff import accounts, list_access, matrix
from newsletter.staff.auth import two_factor
from newsletter.staff.auth.access import normalize_address
from newsletter.staff.models import Role, Staff

staff = AppGroup("staff", help="Let people in.")
CONSOLE = "console"

_role = click.Choice([role.value for role in Role])
_address = click.argument("address")
_lists = click.option("--list", "lists", multiple=True, help="Only these lists, by slug; all without it.")


@staff.command("create")
@_address
@click.option("--role", type=_role, required=True, help="What they may do.")
@_lists
@report
def create(address: str, role: str, lists: Sequence[str]) -> tuple[object, str]:
    """Print a one-time link with which a person makes their account."""
    chosen, limited = Role(role), list_access.validate_lists(Role(role), lists or None)
    token = accounts.invite(
        chosen, address=normalize_address(address), lists=limited, now=utcnow(), actor=CONSOLE
    )
    db.session.commit()
    link = accounts.invitation_url(token)
    return {
        "address": address,
        "role": role,
        "link": link,
    }, f"Give this link to {address}; it works once:\n{link}"


@staff.command("show")
@report
def show() -> tuple[object, str]:
    """List the accounts."""
    rows: list[dict[str, Any]] = [
        {
            "address": row.email,
            "role": row.role.value,
            "lists": row.lists,
            "open": row.active,
            "second_step": row.has_second_step,
            "passkeys": row.passkey_count,
        }
        for row in accounts.list_accounts()
    ]
    lines = [
        f"{row['address']}  {row['role']}"
        + (f"  {', '.join(row['lists'])}" if row["lists"] else "")
        + ("" if row["open"] else "  closed")
        + ("  second step" if row["second_step"] else "")
        for row in rows
    ]
    return rows, "\n".join(lines) or "There are no accounts."


@staff.command("role")
@_address
@click.argument("role", type=_role)
@report
def change_role(address: str, role: str) -> tuple[object, str]:
    """Give an account another level; its owner is logged out."""
    accounts.change_role(_get_account(address), Role(role), now=utcnow(), actor=CONSOLE)
    db.session.commit()
    return {"address": address, "role": role}, f"{address} is {role} now."


@staff.command("lists")
@_address
@_lists
@report
def change_lists(address: str, lists: Sequence[str]) -> tuple[object, str]:
    """Limit an account to lists, or without --list to none; its owner is logged out."""
    account = _get_account(address)
    list_access.limit_to_lists(account, lists or None, now=utcnow(), actor=CONSOLE)
    db.session.commit()
    said = ", ".join(account.lists or ["all lists"])
    return {"address": address, "lists": account.lists}, f"{address} sees {said} now."


@staff.command("close")
@_address
@report
def close(address: str) -> tuple[object, str]:
    """Let an account in no more."""
    accounts.close_account(_get_account(address), now=utcnow(), actor=CONSOLE)
    db.session.commit()
    return {"address": address, "open": False}, f"The account of {address} is closed."


@staff.command("reopen")
@_address
@report
def reopen(address: str) -> tuple[object, str]:
    """Let a closed account in again."""
    accounts.reopen_account(_get_account(address), now=utcnow(), actor=CONSOLE)
    db.session.commit()
    return {"address": address, "open": True}, f"The account of {address} is open."


@staff.command("reset")
@_address
@report
def reset(address: str) -> tuple[object, str]:
    """Print a one-time link with which a person chooses a new password."""
    token = accounts.create_password_reset(_get_account(address), now=utcnow(), actor=CONSOLE)
    db.session.commit()
    link = accounts.reset_url(token)
    return {"address": address, "link": link}, f"Give this link to {address}; it works once:\n{link}"


@staff.command("forget-second-step")
@_address
@report
def forget_second_step(address: str) -> tuple[object, str]:
    """Take second step and passkeys away from somebody who has lost phone and recovery codes."""
    account, now = _get_account(address), utcnow()
    two_factor.disable(account, now=now, actor=CONSOLE)
    accounts.sign_out_everywhere(account, now=now)
    db.session.commit()
    return {"address": address, "second_step": False}, f"{address} sets the second step up anew."


@staff.command("sign-out")
@_address
@report
def sign_out(address: str) -> tuple[object, str]:
    """End every session of an account."""
    ended = accounts.sign_out_everywhere(_get_account(address), now=utcnow())
    db.session.commit()
    return {"address": address, "ended": ended}, f"{ended} sessions of {address} ended."


@staff.command("matrix", hidden=True)
@with_appcontext
def write_matrix() -> None:
    """Print docs/roles.md."""
    click.echo(matrix.render_markdown(current_app._get_current_object()), nl=False)  # type: ignore[attr-defined]  # noqa: SLF001 - Flask's documented way out of the context


def _get_account(address: str) -> Staff:
    found = accounts.find_account(address)
    if found is None:
        raise accounts.UnknownAccount
    return accounts.get_account(found.id)
