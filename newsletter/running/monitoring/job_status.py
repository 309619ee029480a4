"""What does not go as it should of the periodic jobs, for whoever watches."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from newsletter.running.jobs import Job, is_stuck, states
from newsletter.running.models import PeriodicRun
from newsletter.running.periodic import PERIODIC

#: A worker looks at its jobs each minute; when none has been begun for so long, there is no worker.
SILENCE = timedelta(minutes=10)


def failing(now: datetime) -> list[tuple[Job, PeriodicRun]]:
    """Return the jobs whose last run failed or has not come to its end."""
    return [
        (job, row)
        for job, row in states(PERIODIC)
        if row is not None and (row.failures or is_stuck(row, now))
    ]


def is_silent(now: datetime) -> bool:
    """Tell whether workers were here, and have all gone."""
    began = [row.started_at for _job, row in states(PERIODIC) if row is not None and row.started_at]
    return bool(began) and max(began) < now - SILENCE


def describe(row: PeriodicRun) -> str:
    """Say what is wrong with a job, in a sentence without its full stop."""
    what = f"{row.name} on {row.machine}" if row.machine else row.name
    if not row.failures:
        return f"{what} was begun at {row.started_at:%Y-%m-%d %H:%M} UTC and has not come to its end"
    return f"{what} has failed {row.failures} times, last at {row.failed_at:%Y-%m-%d %H:%M} UTC: {row.error}"


def collect(now: datetime) -> Iterator[Metric]:
    """Yield the figures of every job; one that never ran has succeeded at 0."""
    labels = ["job", "machine"]
    succeeded = GaugeMetricFamily(
        "newsletter_periodic_last_success_timestamp_seconds",
        "When a periodic job last came to its end",
        labels=labels,
    )
    failures = GaugeMetricFamily(
        "newsletter_periodic_failures", "How often it has failed since", labels=labels
    )
    stuck = GaugeMetricFamily(
        "newsletter_periodic_stuck", "1 where it has taken longer than it may", labels=labels
    )
    seconds = GaugeMetricFamily("newsletter_periodic_seconds", "How long its last run took", labels=labels)
    runs = CounterMetricFamily("newsletter_periodic_runs", "How often it was begun", labels=labels)
    for job, row in states(PERIODIC):
        key = [job.name, row.machine if row else ""]
        ended = row.succeeded_at if row else None
        succeeded.add_metric(key, ended.timestamp() if ended else 0.0)
        failures.add_metric(key, row.failures if row else 0)
        stuck.add_metric(key, float(row is not None and is_stuck(row, now)))
        seconds.add_metric(key, (row.seconds if row else None) or 0.0)
        runs.add_metric(key, row.runs if row else 0)
    yield from (succeeded, failures, stuck, seconds, runs)
