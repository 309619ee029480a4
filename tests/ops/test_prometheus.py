"""Alert rules and dashboard: every figure that they name is one that /metrics answers with."""

import json
import re

import pytest
import yaml  # type: ignore[import-untyped] # comes with schemathesis; nobody else needs its types
from prometheus_client.parser import text_string_to_metric_families

from newsletter.db import db
from newsletter.durable import counters
from newsletter.ledger import audit
from tests.support.server import ROOT

FOLDER = ROOT / "ops" / "prometheus"
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
by_name = pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
#: Of PromQL, what we use.
FUNCTIONS = {"absent", "histogram_quantile", "increase", "max", "min", "rate", "sum", "topk"}
WORDS = {"and", "by"}


@pytest.fixture
def samples(client, now):
    """What /metrics answers, once something has happened."""
    audit.record("backup made", actor="console", now=now)
    db.session.commit()
    client.get("/healthz")
    counters.flush()
    families = text_string_to_metric_families(client.get("/metrics").text)
    return [sample for family in families for sample in family.samples]


def test_every_figure_and_label_is_there(samples):
    known = {label for sample in samples for label in sample.labels} | {"instance"}
    for expression in EXPRESSIONS.values():
        for name, matchers in re.findall(r"(newsletter_\w+)(?:\{([^}]*)\})?", expression):
            found = [sample for sample in samples if sample.name == name]
            assert found, name
            for label, sign, text in re.findall(r'(\w+)(=~|=)"([^"]*)"', matchers):
                values = {sample.labels.get(label) for sample in found}
                assert set(text.split("|") if sign == "=~" else [text]) <= values, (label, text)
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            assert set(labels.split(", ")) <= known


@by_name
def test_it_reads_as_promql(expression):
    bare = re.sub(r"newsletter_\w+|\{[^}]*\}|\[\d+[smhd]\]|by \([^)]*\)", " ", expression)

    assert set(re.findall(r"(\w+) *\(", bare)) <= FUNCTIONS
    assert set(re.findall(r"[a-z_]+", re.sub(r"\b[0-9.e]+\b", " ", bare))) <= FUNCTIONS | WORDS
    assert bare.count("(") == bare.count(")")
    for call in re.findall(r"(?:rate|increase)\(([^()]*)\)", expression):
        assert re.fullmatch(r"newsletter_\w+(_total|_bucket)(\{[^}]*\})?\[\d+[mh]\]", call), call


def test_every_alert_says_what_is_wrong_and_what_to_do():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


def test_panels_lie_side_by_side():
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]

    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
