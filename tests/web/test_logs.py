"""The log: one line a fact, in the form that was asked for, and a traceback once a minute."""

import io
import json
import logging
import sys

import pytest

from newsletter.web import logs


@pytest.fixture
def logged(monkeypatch):
    """Configure the log, and return what came into it: ``logged(form)()``."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()

    def configure(form: str = "json", how_much: int | str = logging.INFO):
        monkeypatch.setattr(sys, "stderr", stream)  # not earlier: pytest sets its own when the test begins
        logs.configure(how_much, form)
        return lambda: stream.getvalue().splitlines()

    yield configure
    root.handlers[:], root.level = handlers, level


def fail(text: str = "no connection") -> None:
    raise ConnectionError(text)


def log_failure(text: str = "no connection") -> None:
    try:
        fail(text)
    except ConnectionError:
        logging.getLogger("newsletter.tests").exception("database away", extra={"job": "sweep"})


def test_json_is_one_object_a_line(logged):
    lines = logged("json")
    logging.getLogger("newsletter.tests").info("sent", extra={"delivery_id": 7})

    (line,) = map(json.loads, lines())

    assert (line["event"], line["level"], line["delivery_id"]) == ("sent", "info", 7)


def test_logfmt_is_one_line_whatever_is_in_it(logged):
    lines = logged("logfmt")
    log_failure()

    (line,) = lines()

    assert (
        'level=error logger=newsletter.tests event="database away" job=sweep cause="ConnectionError at'
        in line
    )
    assert 'exception="Traceback' in line


def test_text_has_no_colours_where_nobody_looks(logged):
    lines = logged("text")
    logging.getLogger("newsletter.tests").info("sent", extra={"delivery_id": 7})

    assert "\x1b" not in lines()[0]
    assert "delivery_id=7" in lines()[0]


def test_what_no_terminal_reads_is_json_by_itself(logged):
    lines = logged("auto")
    logging.getLogger("newsletter.tests").info("sent")

    assert json.loads(lines()[0])["event"] == "sent"


def test_less_than_the_level_is_not_logged(logged):
    lines = logged("json", "error")
    logging.getLogger("newsletter.tests").warning("slow")

    assert lines() == []


def test_a_traceback_comes_once_and_every_line_names_its_cause(logged):
    lines = logged("json")
    for text in ("first", "second", "third"):
        log_failure(text)

    found = list(map(json.loads, lines()))

    assert ["exception" in line for line in found] == [True, False, False]
    assert {line["event"] for line in found} == {"database away"}
    (cause,) = {line["cause"] for line in found}
    assert cause.startswith("ConnectionError at ")
    assert "second" not in json.dumps(found[1])


def test_another_cause_has_its_own_traceback(logged):
    lines = logged("json")
    log_failure()
    try:
        int("else")
    except ValueError:
        logging.getLogger("newsletter.tests").exception("database away")

    assert ["exception" in json.loads(line) for line in lines()] == [True, True]


def test_after_a_minute_it_comes_again():
    now = [0.0]
    judge = logs.OneTracebackAMinute(lambda: now[0])
    shown = []
    for at in (0.0, 30.0, 59.9, 60.1, 100.0, 121.0):
        now[0] = at
        try:
            fail()
        except ConnectionError as error:
            shown.append("exc_info" in judge(None, "error", {"exc_info": error}))

    assert shown == [True, False, False, True, False, True]


def test_causes_without_end_take_no_memory_without_end():
    judge = logs.OneTracebackAMinute(lambda: 0.0)
    for number in range(1000):
        judge(None, "error", {"exc_info": type(f"Failure{number}", (Exception,), {})()})

    assert len(judge._shown) == 200
