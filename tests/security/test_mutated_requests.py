"""Whatever is sent to whatever route, the answer is never our fault."""

import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

#: Raised in a long run; a developer waits for a few.
EXAMPLES = int(os.environ.get("MUTATED_REQUESTS", "80"))
NASTY = [
    "\x00",
    "' OR 1=1 --",
    "{{7*7}}",
    "../../etc/passwd",
    "\r\nSet-Cookie: a=b",
    "٣",
    "💥",
    "9" * 40,
    "-1",
    "%",
]
values = st.one_of(st.sampled_from(NASTY), st.text(max_size=60), st.integers().map(str))
names = st.sampled_from(
    ["email", "lists", "consent", "lang", "after", "before", "next", "address", "password", "code", "person",
     "status", "list", "role", "embedded", "token", "days", "limit", "text", "sure", "hp", "t", "passkey", "credential", "name"]
)  # fmt: skip


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("is_staff", [False, True])
def test_no_request_is_our_fault(app, client, request, routes, is_staff):
    if is_staff:
        request.getfixturevalue("signed_in")

    @settings(
        max_examples=EXAMPLES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        route=st.sampled_from(routes("{word}")),
        word=values,
        query=st.dictionaries(names, values, max_size=4),
        fields=st.dictionaries(names, st.one_of(values, st.lists(values, max_size=3)), max_size=5),
        body=st.one_of(st.none(), st.binary(max_size=200)),
        kind=st.sampled_from(
            ["application/x-www-form-urlencoded", "application/json", "multipart/form-data", "x"]
        ),
        language=values,
    )
    def holds(route, word, query, fields, body, kind, language):
        method, path = route
        if path == "/staff/logout":
            return
        header = "".join(letter for letter in language if letter.isprintable() and letter.isascii())
        answer = client.open(
            path.replace("{word}", re.sub("[/?]", "", word) or "x"),  # a query stands apart
            method=method,
            query_string=query,
            data=(body if body is not None else fields) if method == "POST" else None,
            content_type=kind if body is not None and method == "POST" else None,
            headers={"Accept-Language": header, "User-Agent": header, "X-Forwarded-For": header},
        )
        # 503 is what /readyz says where all tests share one connection.
        assert answer.status_code < 500 or path == "/readyz", (method, path, answer.status_code)
        assert "Set-Cookie: a=b" not in str(answer.headers)

    holds()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_no_number_is_too_large_for_us(app, client, signed_in):
    faults, huge = {}, "9" * 30
    names = ("before", "after", "days", "with", "version", "fold", "person", "limit", "edition")
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(\w+:)?\w+>", lambda part: huge if part[1] == "int:" else "x", rule.rule)
        if "<int:" not in rule.rule and not path.startswith("/staff/"):
            continue
        for method in (rule.methods or set()) & {"GET", "POST"}:
            answer = client.open(path, method=method, query_string=dict.fromkeys(names, huge))
            if answer.status_code >= 500:
                faults[method, path] = answer.status_code

    assert faults == {}
