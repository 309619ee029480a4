"""Who fetched it: by name, network, haste and the link that nobody sees."""

import os
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.tracking.classify import HUMAN_CLASSES, Rules, class_by_user_agent
from newsletter.tracking.models import MachineClass
from newsletter.tracking.networks import Networks, Ranges, RangesUnreadable, read_ranges
from tests.support.clock import NOW
from tests.tracking.corpus import AGENTS
from tests.tracking.hits import APPLE, THUNDERBIRD

SCANNER = MachineClass.SCANNER


@pytest.fixture
def rules(tmp_path) -> Rules:
    """The usual rules, with a relay and a scanner network."""
    relays, scanners = tmp_path / "relays.csv", tmp_path / "scanners.csv"
    relays.write_text("192.0.2.0/25,FI,,Helsinki,\n2001:db8:1::/48,FI,,,\n")
    scanners.write_text("network,what\n198.51.100.0/24,a filter\n203.0.113.9,another\n")
    return Rules(
        Networks.of(str(relays), str(scanners)), timedelta(seconds=10), links=3, window=timedelta(seconds=5)
    )


def test_the_corpus_is_large_enough():
    assert len({agent for agent, _made_by in AGENTS}) >= 60


@pytest.mark.parametrize(
    ("agent", "made_by"), AGENTS, ids=[agent[:60] or "none" for agent, _made_by in AGENTS]
)
def test_tr7_a_hit_is_classed_by_what_its_sender_calls_itself(agent, made_by):
    assert class_by_user_agent(agent) is made_by


def test_a_picture_proxy_stands_for_a_person_and_apples_does_not():
    assert frozenset({MachineClass.HUMAN, MachineClass.PROXY}) == HUMAN_CLASSES


@pytest.mark.parametrize(
    ("agent", "ip", "after", "link", "made_by"),
    [
        (THUNDERBIRD, "203.0.113.7", timedelta(seconds=10), None, MachineClass.HUMAN),
        (THUNDERBIRD, "203.0.113.7", timedelta(seconds=9.9), None, SCANNER),
        (THUNDERBIRD, "203.0.113.7", timedelta(seconds=-1), None, SCANNER),
        (THUNDERBIRD, "203.0.113.7", None, 1, MachineClass.HUMAN),
        (THUNDERBIRD, "203.0.113.7", None, 0, SCANNER),
        (THUNDERBIRD, "198.51.100.255", None, 1, SCANNER),
        (THUNDERBIRD, "203.0.113.9", None, None, SCANNER),
        (THUNDERBIRD, "192.0.2.7", None, None, MachineClass.HUMAN),  # a person behind Apple's relay
        (APPLE, "192.0.2.127", timedelta(seconds=1), None, MachineClass.APPLE_MPP),
        (APPLE, "192.0.2.128", None, None, MachineClass.APPLE_SUSPECTED),
        (APPLE, "2001:db8:1:ffff::1", None, None, MachineClass.APPLE_MPP),
        (APPLE, "2001:db8:2::1", None, None, MachineClass.APPLE_SUSPECTED),
        ("curl/8.5.0", "198.51.100.1", timedelta(), 0, MachineClass.BOT),
        ("x GoogleImageProxy", "203.0.113.7", timedelta(seconds=2), None, SCANNER),
        ("x GoogleImageProxy", "203.0.113.7", timedelta(hours=2), None, MachineClass.PROXY),
        (THUNDERBIRD, "", None, None, MachineClass.HUMAN),
        (THUNDERBIRD, "no address", None, None, MachineClass.HUMAN),
    ],
)
def test_tr7_network_haste_and_the_hidden_link_tell_machines(rules, agent, ip, after, link, made_by):
    assert rules.classify(agent, ip, after=after, link=link) is made_by


def clicks(*when_and_link):
    return [(NOW + timedelta(seconds=seconds), link) for seconds, link in when_and_link]


@pytest.mark.parametrize(
    ("pattern", "hasty"),
    [
        ([(0, 1), (1, 2), (2, 3)], [True, True, True]),
        ([(0, 1), (2.5, 2), (5, 3)], [True, True, True]),
        ([(0, 1), (2.5, 2), (5.1, 3)], [False, False, False]),
        ([(0, 1), (1, 1), (2, 1), (3, 1)], [False] * 4),  # one link, pressed again and again
        ([(0, 1), (1, 2)], [False, False]),
        ([(0, 1), (20, 1), (21, 2), (22, 3)], [False, True, True, True]),
        ([(0, 0)], [True]),
        ([(0, 1), (60, 0), (120, 2), (121, 1)], [True, True, True, False]),
        ([], []),
    ],
)
def test_tr7_many_links_in_seconds_or_the_hidden_one_are_a_scanners(rules, pattern, hasty):
    assert rules.in_burst(clicks(*pattern)) == hasty


# --- networks --------------------------------------------------------------------------------------


def test_ranges_may_touch_overlap_and_mix_versions():
    ranges = Ranges([(10, 20), (15, 30), (31, 40), (50, 50)])

    assert (ranges._starts, ranges._ends) == ([10, 50], [40, 50])


@given(st.integers(0, 255), st.integers(0, 32))
def test_an_address_is_found_in_its_network_and_only_there(tmp_path_factory, last, length):
    path = tmp_path_factory.mktemp("ranges") / "r.csv"
    path.write_text(f"203.0.113.0/{length}\n")
    ranges = read_ranges(path)

    inside = (last < 2 ** (32 - length)) if length > 24 else True
    assert (f"203.0.113.{last}" in ranges) == inside


@pytest.mark.parametrize(
    "content", ["# a comment\n\n203.0.113.0/24\n", "ip_range\n203.0.113.7/24,x\n", "\ufeff203.0.113.0/24"]
)
def test_a_file_may_have_a_heading_comments_and_host_bits(tmp_path, content):
    path = tmp_path / "r.csv"
    path.write_text(content, encoding="utf-8")

    assert "203.0.113.9" in read_ranges(path)


def test_a_line_that_is_no_network_is_named(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("203.0.113.0/24\n999.1.1.1\n")

    with pytest.raises(RangesUnreadable) as refused:
        read_ranges(path)

    assert str(refused.value) == f"{path}, line 2: 999.1.1.1 is no network."


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("203.0.113.0/24\n")
    before = Networks.of("", str(path)).is_scanner("198.51.100.1")

    path.write_text("198.51.100.0/24\n# longer\n")
    os.utime(path, ns=(1, 1))

    assert (before, Networks.of("", str(path)).is_scanner("198.51.100.1")) == (False, True)
