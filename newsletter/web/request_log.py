"""What each request leaves: a count of its route, status and time, and on demand a line in the log.

A route is the name of a view, never an address: that may hold a token. Opens, clicks and sign-ups that
are answered in front of Flask do not come by here; they are counted where they are stored.
"""

import logging
import time
from collections.abc import Iterator, Mapping

from flask import Flask, Response, g, request, request_finished, request_started
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from newsletter.config import current_settings
from newsletter.durable import counters

log = logging.getLogger(__name__)

#: Upper bounds of the histogram, in seconds.
BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "+Inf")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
#: The beginning of our names among the stored counts.
_STATUS, _BOUND, _SUM = "http status ", "http le ", "http microseconds "
#: A request that met no view: its path is whatever somebody typed.
_NO_ROUTE = "none"


def init_app(app: Flask) -> None:
    """Watch every request of an application."""
    request_started.connect(_begin, app)
    request_finished.connect(_end, app)


def metrics(stored: Mapping[str, int]) -> Iterator[Metric]:
    """Yield what all processes have stored of their requests."""
    statuses = CounterMetricFamily("newsletter_requests", "Requests answered by Flask", labels=["status"])
    for status in CLASSES:
        statuses.add_metric([status], float(stored.get(_STATUS + status, 0)))
    yield statuses
    seconds = HistogramMetricFamily(
        "newsletter_request_seconds", "How long Flask took for a request", labels=["route"]
    )
    for name, microseconds in sorted(stored.items()):
        if name.startswith(_SUM):
            route = name.removeprefix(_SUM)
            seconds.add_metric([route], list(_cumulated(route, stored)), microseconds / 1e6)
    yield seconds


def _cumulated(route: str, stored: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound in BOUNDS:
        total += stored.get(f"{_BOUND}{bound} {route}", 0)
        yield bound, float(total)


def _begin(_app: Flask, **_more: object) -> None:
    g.began = time.perf_counter()


def _end(_app: Flask, response: Response, **_more: object) -> None:
    took = time.perf_counter() - g.began
    route = request.endpoint or _NO_ROUTE
    counters.increment(f"{_STATUS}{response.status_code // 100}xx")
    counters.increment(f"{_BOUND}{next(bound for bound in BOUNDS if took <= float(bound))} {route}")
    counters.increment(_SUM + route, round(took * 1e6))
    if current_settings().log_requests:
        log.info(
            "request",
            extra={
                "method": request.method,
                "route": route,
                "status": response.status_code,
                "milliseconds": round(took * 1000, 1),
            },
        )
