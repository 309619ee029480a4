"""``newsletter lists …`` and ``newsletter subscribers …``."""

import sys
from dataclasses import asdict
from pathlib import Path

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from newsletter.cli.report import report, write_private_file
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.subscribers import personal_data
from newsletter.subscribers.lists import all_lists, create_list, get_lists, set_public
from newsletter.subscribers.models import Subscription, SubscriptionStatus
from newsletter.subscribers.objections import EXPORT_PURPOSES
from newsletter.subscribers.queries import get_subscriber
from newsletter.subscribers.signup.manual import CONSENT_METHODS, sign_up_for_person
from newsletter.subscribers.transfer.exporter import iterate_csv, record_export
from newsletter.subscribers.transfer.import_file import inspect_file
from newsletter.subscribers.transfer.importer import import_file
from newsletter.web.i18n import supported_language

lists = AppGroup("lists", help="Make lists and see how many are on them.")
subscribers = AppGroup("subscribers", help="Look at subscribers, import and export them.")


@lists.command("create")
@click.option("--slug", required=True, help="Its name in links: a-z, 0-9 and hyphens.")
@click.option("--name", required=True, help="Its name as subscribers read it.")
@click.option("--language", required=True, help="The language it is written in.")
@click.option("--topics", default="", help="What it is about; shown beside the form.")
@click.option("--frequency", default="", help="How often it comes; shown beside the form.")
@click.option("--public/--private", "is_public", default=True, show_default=True,
              help="Whether everybody may read its newsletters in the archive.")  # fmt: skip
@report
def create(
    *, slug: str, name: str, language: str, topics: str, frequency: str, is_public: bool
) -> tuple[object, str]:
    """Make a list."""
    made = create_list(
        slug=slug,
        name=name,
        language=language,
        topics=topics,
        frequency=frequency,
        is_public=is_public,
        now=utcnow(),
        actor="console",
    )
    db.session.commit()
    return {"id": made.id, "slug": made.slug}, f"List {made.slug} is ready."


@lists.command("archive")
@click.argument("slug")
@click.option("--public/--private", "is_public", required=True, help="Whether everybody may read them.")
@report
def archive(slug: str, *, is_public: bool) -> tuple[object, str]:
    """Put the newsletters of a list into the archive, or take them out."""
    changed = set_public(slug, is_public=is_public, now=utcnow(), actor="console")
    db.session.commit()
    where = "in the archive for everybody" if is_public else "for its subscribers only"
    return {"slug": changed.slug, "is_public": is_public}, f"What goes to {changed.slug} is {where}."


@lists.command("show")
@report
def show() -> tuple[object, str]:
    """Show every list and how many are on it."""
    counted = sa.select(Subscription.list_id, Subscription.status, sa.func.count()).group_by(
        Subscription.list_id, Subscription.status
    )
    counts = {(list_id, status): count for list_id, status, count in db.session.execute(counted)}
    rows = [
        {
            "slug": item.slug,
            "name": item.name,
            "language": item.language,
            "is_public": item.is_public,
            **{status.value: counts.get((item.id, status), 0) for status in SubscriptionStatus},
        }
        for item in all_lists()
    ]
    lines = [
        f"{row['slug']:<24} {row['confirmed']:>8} confirmed {row['pending']:>6} pending  {row['name']}"
        for row in rows
    ]
    return rows, "\n".join(lines) or "There are no lists yet. Make one: newsletter lists create --help"


@subscribers.command("show")
@click.argument("address")
@report
def show_subscriber(address: str) -> tuple[object, str]:
    """Show what is held on one subscriber."""
    found = personal_data.export(get_subscriber(address))
    lines = [f"{found['address']}, {found['language']}, tracking {found['tracking']}"]
    lines += [f"  {item['list']:<24} {item['status']}" for item in found["subscriptions"]]
    return found, "\n".join(lines)


@subscribers.command("enter")
@click.argument("address")
@click.option(
    "--list", "slugs", multiple=True, required=True, metavar="SLUG", help="A list; may be repeated."
)
@click.option("--language", help="The language the person spoke; otherwise that of the first list.")
@click.option(
    "--way",
    type=click.Choice(list(CONSENT_METHODS)),
    default="paper",
    show_default=True,
    help="How the person asked.",
)
@report
def enter_person(address: str, slugs: tuple[str, ...], language: str | None, way: str) -> tuple[object, str]:
    """Enter a person who asked for it personally: they get the confirmation mail."""
    chosen = get_lists(slugs)
    spoken_there = supported_language(language or chosen[0].language)
    sign_up_for_person(address, chosen, language=spoken_there, way=way, now=utcnow(), actor="console")
    db.session.commit()
    told = "The confirmation mail is on its way; the subscription begins when it is answered."
    return {"lists": [item.slug for item in chosen], "status": "pending"}, told


@subscribers.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--list", "slugs", multiple=True, required=True, metavar="SLUG", help="A list; may be repeated."
)
@report
def import_(file: Path, slugs: tuple[str, ...]) -> tuple[object, str]:
    """Take over confirmed subscribers from a CSV file, each with the proof of their consent."""
    layout = inspect_file(file)
    chosen = get_lists(slugs)
    hidden = not sys.stderr.isatty()
    with click.progressbar(length=layout.size, label=file.name, file=sys.stderr, hidden=hidden) as bar:
        done = import_file(
            layout,
            chosen,
            now=utcnow(),
            actor="console",
            progress=lambda position: bar.update(position - bar.pos),
        )
    data = {"id": done.id, **done.counts, "rejects": str(done.rejects) if done.rejects else None}
    return data, _describe_import(done.counts, done.rejects)


@subscribers.command("export")
@click.option("--list", "slugs", multiple=True, metavar="SLUG", help="Only this list; may be repeated.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead of standard output.",
)
@click.option(
    "--purpose",
    type=click.Choice(list(EXPORT_PURPOSES)),
    help="What it is for: who has objected to that is left out. Asked for at a terminal, else newsletter.",
)
@click.pass_context
@report
def export(
    context: click.Context, slugs: tuple[str, ...], out: Path | None, purpose: str | None
) -> tuple[object, str] | None:
    """Write subscriptions as CSV. It is personal data: keep it no longer than you need it."""
    if out is None and context.params["as_json"]:
        raise click.UsageError("--json reports on a file; name it with --out.")
    chosen = get_lists(slugs)
    if purpose is None and sys.stdin.isatty():
        purpose = click.prompt("What is it for?", type=click.Choice(list(EXPORT_PURPOSES)), err=True)
    purpose = purpose or "newsletter"
    counted = record_export(chosen, purpose=purpose, now=utcnow(), actor="console")
    db.session.commit()
    if out is None:
        for page in iterate_csv(chosen, purpose):
            click.echo(page.encode(), nl=False)
        return None
    write_private_file(out, iterate_csv(chosen, purpose))
    told = f"Wrote {counted.subscriptions} subscriptions to {out}."
    if counted.left_out:
        told += f" Left out, as their people have objected or had processing restricted: {counted.left_out}."
    return {"file": str(out), "purpose": purpose} | asdict(counted), told


def _describe_import(counts: dict[str, int], rejects: Path | None) -> str:
    why = f"; why is in {rejects}" if rejects else ""
    return (
        "{rows} rows.\n"
        "Subscriptions: {added} added, {confirmed} that were pending confirmed, {already} there already,"
        " {left} not brought back to people who left earlier.\n"
        "Rows passed over: {suppressed} suppressed, {restricted} restricted, {rejected} rejected"
    ).format(**counts) + f"{why}."
