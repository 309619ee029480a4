"""Figures as CSV: one row for each number, so that a spreadsheet can pivot them."""

from collections.abc import Iterator
from datetime import datetime
from io import StringIO

from newsletter.campaigns.models import Campaign
from newsletter.stats.reports import breakdown
from newsletter.stats.reports.campaign import Figures, campaign_figures
from newsletter.stats.reports.overview import ListGrowth
from newsletter.stats.reports.small_counts import CountMasker
from newsletter.web.csv_output import CsvWriter

_TOTALS = (
    "recipients", "queued", "deferred", "accepted", "failed", "bounced", "complained", "skipped", "uncertain",
    "unsubscribed", "measured",
)  # fmt: skip


def write_campaign_csv(file: StringIO, campaign: Campaign, now: datetime, cells: CountMasker) -> None:
    """Write every figure of a campaign: part, name, measure, value, as of."""
    table = CsvWriter(file)
    table.write(["part", "name", "measure", "value", "as_of"])
    figures = campaign_figures(campaign, now)
    moment = figures.as_of.isoformat()
    for name, measure, value in _campaign_rows(figures):
        table.write(["campaign", name, measure, str(value), moment])
    for part, name, measure, number in _breakdown_rows(campaign, figures, now):
        table.write([part, name, measure, cells.for_export(number), moment])


def write_lists_csv(file: StringIO, growths: list[ListGrowth], cells: CountMasker) -> None:
    """Write each day of each list."""
    table = CsvWriter(file)
    table.write(["list", "day", "joined", "left", "members", "as_of"])
    for growth in growths:
        for day in growth.days:
            numbers = map(cells.for_export, (day.joined, day.left))
            table.write([
                growth.mailing_list.slug, day.day.isoformat(), *numbers, str(day.members),
                day.counted_at.isoformat(),
            ])  # fmt: skip


def _campaign_rows(figures: Figures) -> Iterator[tuple[str, str, int]]:
    for name in _TOTALS:
        yield "", name, getattr(figures, name)
    for kind in ("opens", "clicks"):
        reads = getattr(figures, kind)
        for measure in ("human", "machine", "unique_human"):
            yield kind, measure, getattr(reads, measure)


def _breakdown_rows(
    campaign: Campaign, figures: Figures, now: datetime
) -> Iterator[tuple[str, str, str, int]]:
    for row in breakdown.class_figures(campaign):
        yield "class", row.machine_class.value, "opens", row.opens
        yield "class", row.machine_class.value, "clicks", row.clicks
    for link in figures.links:
        for measure in ("human", "machine", "unique_human"):
            yield "link", link.url, measure, getattr(link, measure)
    line = breakdown.timeline(campaign, now)
    for part, spans in (("hour", line.hours), ("day", line.days)):
        for span in spans:
            for measure in breakdown.MEASURES:
                yield part, span.begins.isoformat(), measure, getattr(span, measure)
    for dimension, rows in breakdown.segment_figures(campaign).items():
        for group in rows:
            for measure in ("recipients", "accepted", "failed", "measured", "unsubscribed"):
                yield dimension, group.name or "others", measure, getattr(group, measure)
            yield dimension, group.name or "others", "opens_unique", group.opens_unique
            yield dimension, group.name or "others", "clicks_unique", group.clicks_unique
