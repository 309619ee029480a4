"""Public pages of the archive, its feeds, and the pictures of newsletters."""

from flask import Blueprint, Response, render_template, url_for
from flask.typing import ResponseReturnValue

from newsletter.campaigns.archive import get_issue, get_public_list, list_issues, public_lists
from newsletter.campaigns.content.compose import compose_page
from newsletter.campaigns.content.pictures import MIME_TYPES, get_picture
from newsletter.campaigns.content.previews import archive_response
from newsletter.config import current_settings
from newsletter.subscribers.models import MailingList
from newsletter.web.i18n import language

bp = Blueprint("archive", __name__)

FEED_TYPES = {"atom": "application/atom+xml", "rss": "application/rss+xml"}
_YEAR_SECONDS = 31_536_000


@bp.get("/archive")
def index() -> ResponseReturnValue:
    lists = [{"list": item, "issues": list_issues(item)[:10]} for item in public_lists()]
    return render_template("public/archive.html", lists=lists, feeds=_feed_links)


@bp.get("/archive/lists/<slug>")
def of_list(slug: str) -> ResponseReturnValue:
    found = get_public_list(slug)
    return render_template(
        "public/archive_list.html", list=found, issues=list_issues(found), feeds=_feed_links
    )


@bp.get("/archive/lists/<slug>/<any(atom, rss):kind>.xml")
def feed(slug: str, kind: str) -> ResponseReturnValue:
    found = get_public_list(slug)
    xml = render_template(
        f"public/feed.{kind}.xml", list=found, issues=list_issues(found), base_url=current_settings().base_url
    )
    response = Response(xml, mimetype=FEED_TYPES[kind])
    response.headers["Cache-Control"] = "public, max-age=300"
    return response


@bp.get("/archive/<int:campaign_id>")
def issue(campaign_id: int) -> ResponseReturnValue:
    edition = get_issue(campaign_id, language()).edition
    base_url = current_settings().base_url
    return archive_response(
        compose_page(
            edition,
            archive_url=base_url + url_for(".index", lang=edition.language),
            subscribe_url=base_url + url_for("subscribers.subscribe", lang=edition.language),
        )
    )


@bp.get("/pictures/<name>")
def picture(name: str) -> ResponseReturnValue:
    found = get_picture(name)
    response = Response(found.data, mimetype=MIME_TYPES[name.rpartition(".")[2]])
    # The name is a hash of the content, so it never changes.
    response.headers["Cache-Control"] = f"public, max-age={_YEAR_SECONDS}, immutable"
    # Webmail shows it on other sites.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _feed_links(mailing_list: MailingList) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "url": url_for("archive.feed", slug=mailing_list.slug, kind=kind),
            "type": FEED_TYPES[kind],
        }
        for kind, name in (("atom", "Atom"), ("rss", "RSS"))
    ]
