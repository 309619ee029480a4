"""``newsletter lists …`` and ``newsletter subscribers …``."""

import click
import sqlalchemy as sa
from flask.cli import AppGroup

from newsletter.clock import utcnow
from newsletter.console import report
from newsletter.db import db
from newsletter.subscribers import personal_data
from newsletter.subscribers.lists import all_lists, create_list
from newsletter.subscribers.models import Subscription, SubscriptionStatus
from newsletter.subscribers.queries import get_subscriber

lists = AppGroup("lists", help="Make lists and see how many are on them.")
subscribers = AppGroup("subscribers", help="Look at subscribers.")


@lists.command("create")
@click.option("--slug", required=True, help="Its name in links: a-z, 0-9 and hyphens.")
@click.option("--name", required=True, help="Its name as subscribers read it.")
@click.option("--language", required=True, help="The language it is written in.")
@click.option("--topics", default="", help="What it is about; shown beside the form.")
@click.option("--frequency", default="", help="How often it comes; shown beside the form.")
@report
def create(slug: str, name: str, language: str, topics: str, frequency: str) -> tuple[object, str]:
    """Make a list."""
    made = create_list(
        slug=slug,
        name=name,
        language=language,
        topics=topics,
        frequency=frequency,
        now=utcnow(),
        actor="console",
    )
    db.session.commit()
    return {"id": made.id, "slug": made.slug}, f"List {made.slug} is ready."


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
