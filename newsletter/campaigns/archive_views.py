"""The public pages of sent newsletters, their feeds, and the pictures in them."""

from flask import Blueprint, Response, render_template, url_for
from flask.typing import ResponseReturnValue

from newsletter.campaigns.archive import get_issue, get_public_list, issues_of, public_lists
from newsletter.campaigns.compose import compose_page
from newsletter.campaigns.pictures import TYPES, get_picture
from newsletter.campaigns.previews import as_archived
from newsletter.config import current_settings
from newsletter.subscribers.models import MailingList
from newsletter.web.i18n import language

bp = Blueprint("archive", __name__)

FEEDS = {"atom": "application/atom+xml", "rss": "application/rss+xml"}
_YEAR = 31_536_000


@bp.get("/archive")
def index() -> ResponseReturnValue:
    lists = [{"list": item, "issues": issues_of(item)[:10]} for item in public_lists()]
    return render_template("public/archive.html", lists=lists, feeds=_feeds)


@bp.get("/archive/lists/<slug>")
def of_list(slug: str) -> ResponseReturnValue:
    found = get_public_list(slug)
    return render_template("public/archive_list.html", list=found, issues=issues_of(found), feeds=_feeds)


@bp.get("/archive/lists/<slug>/<any(atom, rss):kind>.xml")
def feed(slug: str, kind: str) -> ResponseReturnValue:
    found = get_public_list(slug)
    xml = render_template(
        f"public/feed.{kind}.xml", list=found, issues=issues_of(found), base_url=current_settings().base_url
    )
    response = Response(xml, mimetype=FEEDS[kind])
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


@bp.get("/archive/<int:campaign_id>")
def issue(campaign_id: int) -> ResponseReturnValue:
    edition = get_issue(campaign_id, language()).edition
    base_url = current_settings().base_url
    return as_archived(
        compose_page(
            edition,
            archive_url=base_url + url_for(".index", lang=edition.language),
            subscribe_url=base_url + url_for("subscribers.subscribe", lang=edition.language),
        )
    )


@bp.get("/pictures/<name>")
def picture(name: str) -> ResponseReturnValue:
    found = get_picture(name)
    response = Response(found.data, mimetype=TYPES[name.rpartition(".")[2]])
    # The name is the hash of the bytes: what it stands for never changes.
    response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
    # Mail programs and other sites show it.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _feeds(mailing_list: MailingList) -> list[dict[str, str]]:
    return [
        {"name": name, "url": url_for("archive.feed", slug=mailing_list.slug, kind=kind), "type": FEEDS[kind]}
        for kind, name in (("atom", "Atom"), ("rss", "RSS"))
    ]
