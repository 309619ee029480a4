"""Click map: a campaign's HTML with the share of clicks drawn over each link."""

from collections.abc import Mapping

import sqlalchemy as sa
from selectolax.lexbor import LexborHTMLParser, LexborNode

from newsletter.campaigns.content import compose
from newsletter.campaigns.models import Campaign, Edition
from newsletter.db import db
from newsletter.errors import N_, NotFound
from newsletter.stats.reports.small_counts import CountMasker
from newsletter.tracking.models import Link, LinkTotals
from newsletter.web.i18n import format_number, format_share

_BADGE_STYLE = (
    "display:inline-block;margin:0 4px;padding:1px 8px;border-radius:10px;background:#0b3d91;color:#fff;"
    "font:bold 12px/1.5 sans-serif;text-decoration:none;vertical-align:middle;white-space:nowrap"
)
_OUTLINE_STYLE = "outline:2px solid #0b3d91;outline-offset:2px;cursor:default;"


class UnknownEdition(NotFound):
    """The campaign has no edition of that number."""

    message = N_("There is no such edition of this campaign.")


def get_edition(campaign: Campaign, edition_id: int) -> Edition:
    """Return an edition of a campaign; raise UnknownEdition."""
    for edition in campaign.editions:
        if edition.id == edition_id:
            return edition
    raise UnknownEdition


def render_click_map(edition: Edition, cells: CountMasker) -> str:
    """Return the edition as a page of its own: no picture that counts, no link that leads anywhere."""
    clicks = _clicks_by_url(edition.id)
    total = sum(clicks.values())
    page = LexborHTMLParser(compose.compose(edition).html)
    for picture in page.css(f'img[src="{compose.PIXEL_PLACEHOLDER}"]'):
        picture.decompose()
    for anchor in page.css("a[href]"):
        address = anchor.attributes.get("href") or ""
        del anchor.attrs["href"]
        if address in clicks:
            _add_badge(page, anchor, clicks[address], total, cells)
    return page.html or ""


def _add_badge(
    page: LexborHTMLParser, anchor: LexborNode, number: int, total: int, cells: CountMasker
) -> None:
    anchor.attrs["style"] = _OUTLINE_STYLE + (anchor.attributes.get("style") or "")
    share = cells.count(number) if cells.hides(number) else format_share(number / total if total else None)
    badge = page.create_node("span")
    badge.attrs["style"] = _BADGE_STYLE
    badge.attrs["title"] = cells.count(number) if cells.hides(number) else format_number(number)
    badge.insert_child(share)
    anchor.insert_after(badge)


def _clicks_by_url(edition_id: int) -> Mapping[str, int]:
    rows = db.session.execute(
        sa.select(Link.url, LinkTotals.human)
        .join(LinkTotals, sa.and_(LinkTotals.edition_id == Link.edition_id, LinkTotals.number == Link.number))
        .where(Link.edition_id == edition_id)
    )
    return dict(rows.all())
