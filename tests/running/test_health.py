"""``/healthz``, ``/readyz`` and ``/metrics`` tell the truth."""

import ast
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from newsletter.db import db
from newsletter.durable import counters
from newsletter.ledger import audit
from newsletter.mail import outbox
from newsletter.ratelimit import limiter
from newsletter.running import migrations, periodic
from newsletter.running.monitoring import metrics
from newsletter.staff.api_tokens import create_token
from newsletter.tracking.hit_log import LostHits
from tests.support.apps import on_its_own
from tests.support.clock import NOW
from tests.support.server import ROOT


def figures(client, **options) -> dict[tuple[str, str], float]:
    text = client.get("/metrics", **options).text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def waiting(app):
    outbox.enqueue("activated", to="meri@example.com", language="fi", now=NOW, context={})
    db.session.commit()


def test_a_ready_process_says_so(real_app, client):
    assert (client.get("/healthz").json, client.get("/readyz").json) == (
        {"status": "ok"},
        {"status": "ok", "warnings": []},
    )


def test_mails_that_nobody_takes_are_named(real_app, client, waiting, clock):
    clock.shift(timedelta(minutes=16))

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json["warnings"]) == (200, ["mails wait and no worker takes them"])


def test_a_database_of_another_shape_is_not_ready(real_app, client):
    db.session.execute(sa.text("UPDATE alembic_version SET version_num = '0000_before'"))

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json) == (503, {"status": "migrations are due"})


def test_the_queues_and_their_ages_are_told(client, waiting, clock):
    clock.shift(timedelta(minutes=2))

    told = figures(client)

    assert told["newsletter_outbox_mails", "queued"] == 1
    assert told["newsletter_outbox_oldest_seconds", ""] == 120
    assert told["newsletter_totals", "accepted"] == 0
    assert told["newsletter_disk_free_bytes", ""] > 0


def test_hits_that_a_full_disk_lost_are_told(app, client):
    before = figures(client)["newsletter_hits_lost_total", ""]
    LostHits(app.config["NEWSLETTER"].instance_path / "hits_lost").add()

    assert (before, figures(client)["newsletter_hits_lost_total", ""]) == (0, 1)


def test_what_has_not_happened_yet_is_0_so_that_a_rate_shows_the_first(client):
    told = figures(client)

    zeros = [
        ("newsletter_hits_refused_total", "open"),
        ("newsletter_limits_reached_total", "signup"),
        ("newsletter_requests_total", "5xx"),
        ("newsletter_outbox_mails", "uncertain"),
        ("newsletter_deliveries", "deferred"),
        ("newsletter_campaigns", "paused"),
        ("newsletter_mails_accepted_total", "single"),
    ]
    assert {name: told.get(name) for name in zeros} == dict.fromkeys(zeros, 0)


def test_every_limit_of_the_program_is_among_the_figures():
    """A limit whose first word is nowhere but in its call would have no figure before it is reached."""
    named = set()
    for path in (ROOT / "newsletter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("limiter."):
                named |= {word.value for word in node.args[1:2] if isinstance(word, ast.Constant)}
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("find_turn"):
                named |= {name for word in node.args[1:2] for name in (word.value, f"{word.value} share")}

    assert len(named) > 8
    assert named == set(metrics._LIMITS)


def test_requests_are_counted_by_route_and_status_with_their_time(client):
    counters.flush()  # what other tests have left in this process
    before = figures(client)
    client.get("/healthz")
    client.get("/privacy/request")
    client.get("/nowhere/at-all")
    counters.flush()

    told = figures(client)

    counted = ("newsletter_requests_total", "4xx")
    assert told[counted] - before[counted] == 1
    series = client.get("/metrics").text.splitlines()
    healthz = [line for line in series if 'route="health.healthz"' in line]
    assert [line.split("{")[0] for line in healthz].count("newsletter_request_seconds_bucket") == 10
    assert any(line.startswith("newsletter_request_seconds_count{") for line in healthz)
    assert "at-all" not in "".join(series)


def test_what_runs_is_told(client, engine):
    (line,) = [line for line in client.get("/metrics").text.splitlines() if "build_info{" in line]

    assert f'database="{engine}"' in line
    assert 'version="' in line


def test_the_age_of_a_backup_is_told_once_there_is_one(client, now, clock):
    assert ("newsletter_backup_age_seconds", "") not in figures(client)
    audit.record("backup made", actor="console", now=now)
    db.session.commit()
    clock.shift(timedelta(hours=3))

    assert figures(client)["newsletter_backup_age_seconds", ""] == 3 * 3600


def test_a_request_leaves_a_line_only_when_asked_and_never_says_who(make_app, caplog):
    caplog.set_level("INFO", logger="newsletter.web.request_log")
    for asked in ("false", "true"):
        app = make_app(log_requests=asked)
        with app.app_context():
            migrations.upgrade()
            page = "/confirm/secret-token?lang=fi"
            app.test_client().get(page, environ_base={"REMOTE_ADDR": "203.0.113.7"})

    (record,) = [record for record in caplog.records if record.name == "newsletter.web.request_log"]
    shown = json.dumps({key: str(value) for key, value in vars(record).items()})
    assert (record.method, record.route) == ("GET", "subscribers.confirm")
    assert "secret-token" not in shown
    assert "203.0.113.7" not in shown


def test_no_figure_names_anybody(client, waiting):
    assert "meri" not in client.get("/metrics").text


@pytest.mark.parametrize(
    "options",
    [
        {"environ_base": {"REMOTE_ADDR": "198.51.100.2"}},
        {"headers": {"X-Forwarded-For": "198.51.100.2"}},
        {"headers": {"Forwarded": "for=198.51.100.2"}},
        {"headers": {"Authorization": "Bearer nl_forged"}},
    ],
)
def test_others_do_not_see_the_figures(client, options):
    assert client.get("/metrics", **options).status_code == 403


@pytest.mark.parametrize(("scope", "status"), [("metrics:read", 200), ("lists:read", 403)])
def test_a_token_for_it_opens_them_from_elsewhere(client, scope, status):
    _made, secret = create_token(name="x", scopes=[scope], days=1, now=NOW, actor="console")
    db.session.commit()

    answer = client.get(
        "/metrics",
        headers={"Authorization": f"Bearer {secret}"},
        environ_base={"REMOTE_ADDR": "198.51.100.2"},
    )

    assert answer.status_code == status


def test_what_was_refused_only_grows(client):
    counters.flush()
    before = figures(client)
    client.get("/o/forged")
    client.get("/c/forged/1")
    assert [limiter.hit("1/hour", "login", "somebody") for _try in range(3)] == [True, False, False]
    counters.flush()
    counters.flush()

    grown = {key: number - before.get(key, 0) for key, number in figures(client).items()}

    assert grown["newsletter_hits_refused_total", "open"] == 1
    assert grown["newsletter_hits_refused_total", "click"] == 1
    assert grown["newsletter_limits_reached_total", "login"] == 2
    assert grown["newsletter_mails_accepted_total", "campaign"] == 0


def test_single_mails_are_counted_when_they_are_accepted(app, client):
    context = {"what": "password", "changed_at": NOW.isoformat()}
    outbox.enqueue("staff_changed", to="anna@kirjakauppa.example", language="fi", now=NOW, context=context)
    counters.flush()
    before = figures(client).get(("newsletter_mails_accepted_total", "single"), 0)

    on_its_own(app, periodic.work_until_idle)

    assert figures(client)["newsletter_mails_accepted_total", "single"] == before + 1
