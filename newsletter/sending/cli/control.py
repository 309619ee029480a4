"""``newsletter campaigns check``, ``confirm-words``, ``pause``, ``resume``, ``cancel`` and their like."""

from collections.abc import Callable, Mapping

import click

from newsletter.campaigns.drafts import get_campaign
from newsletter.campaigns.editing import confirm_words
from newsletter.campaigns.models import Campaign
from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.mail.deliverability import status as deliverability_status
from newsletter.sending.lifecycle import control
from newsletter.sending.lifecycle import release as releasing
from newsletter.sending.lifecycle.audience import audience_of
from newsletter.sending.lifecycle.preflight import check_campaign
from newsletter.sending.message.test_mail import send_test

_campaign_id = click.argument("campaign_id", type=int)


@click.command("check")
@_campaign_id
@report
def check(campaign_id: int) -> tuple[object, str, int]:
    """Show what is wrong with a draft and what to do, and whom it would reach. Errors exit 1."""
    deliverability_status.refresh_if_due(utcnow())
    campaign = get_campaign(campaign_id)
    audience = audience_of(campaign)
    found = [
        {
            "code": item.code,
            "level": "error" if item.is_error else "warning",
            "edition": item.language,
            "line": item.line,
            "message": item.message % item.values,
            "advice": item.advice % item.values,
        }
        for item in check_campaign(campaign, audience, now=utcnow())
    ]
    lists = [
        {"list": item.mailing_list.slug, "gets": item.gets, "languages": item.by_language, **item.left_out}
        for item in audience.lists
    ]
    data = {"id": campaign.id, "findings": found, "recipients": audience.recipients, "lists": lists}
    lines = [_line(item) for item in found] or ["Nothing is wrong."]
    lines.append(f"Recipients: {audience.recipients}, each of them once.")
    for item in audience.lists:
        left_out = ", ".join(f"{number} {reason}" for reason, number in item.left_out.items())
        lines.append(f"  {item.mailing_list.slug}: {item.gets} get it; left out: {left_out}")
    return data, "\n".join(lines), int(any(item["level"] == "error" for item in found))


def _line(item: Mapping[str, object]) -> str:
    edition = f" ({item['edition']})" if item["edition"] else ""
    return f"{item['level']}{edition}: {item['message']} {item['advice']}"


@click.command("confirm-words")
@_campaign_id
@click.argument("words", nargs=-1, required=True)
@click.option("--language", required=True, help="The edition in which they stand.")
@report
def confirm(campaign_id: int, words: tuple[str, ...], language: str) -> tuple[object, str]:
    """Say that words which look like a placeholder are what readers shall see."""
    for each in words:
        edition = confirm_words(campaign_id, language, each, now=utcnow(), actor="console")
    db.session.commit()
    data = {"id": campaign_id, "language": language, "confirmed": edition.confirmed_words}
    return data, f"Readers of campaign {campaign_id} shall see: {', '.join(edition.confirmed_words)}"


@click.command("test")
@_campaign_id
@click.option("--to", "addresses", multiple=True, required=True, help="A member of staff; repeat for more.")
@report
def test(campaign_id: int, addresses: tuple[str, ...]) -> tuple[object, str]:
    """Send every edition to members of staff."""
    languages = [edition.language for edition in get_campaign(campaign_id).editions]
    number = send_test(campaign_id, languages, addresses, now=utcnow(), actor="console")
    db.session.commit()
    return {"id": campaign_id, "mails": number}, f"{number} test mails are on their way."


@click.command("pause")
@_campaign_id
@report
def pause(campaign_id: int) -> tuple[object, str]:
    """Stop sending for now."""
    return _act(control.pause, campaign_id, f"Go on with it: newsletter campaigns resume {campaign_id}")


@click.command("resume")
@_campaign_id
@report
def resume(campaign_id: int) -> tuple[object, str]:
    """Go on with a paused campaign."""
    return _act(control.resume, campaign_id, f"Follow it: newsletter campaigns status {campaign_id}")


@click.command("cancel")
@_campaign_id
@report
def cancel(campaign_id: int) -> tuple[object, str]:
    """End a scheduled or running campaign for good; who has not been written to gets nothing."""
    return _act(control.cancel, campaign_id, "What has been sent stays sent.")


@click.command("unschedule")
@_campaign_id
@report
def unschedule(campaign_id: int) -> tuple[object, str]:
    """Make a scheduled campaign a draft again."""
    return _act(releasing.withdraw, campaign_id, f"Send it: newsletter campaigns send {campaign_id}")


def _act(act: Callable[..., Campaign], campaign_id: int, hint: str) -> tuple[object, str]:
    campaign = act(campaign_id, now=utcnow(), actor="console")
    db.session.commit()
    status = campaign.status.value
    return {"id": campaign.id, "status": status}, f"Campaign {campaign.id} is {status}. {hint}"


#: What is added to the group of campaigns.
COMMANDS = (check, confirm, test, pause, resume, cancel, unschedule)
