"""Who fetched it, as far as its name tells."""

import pytest

from newsletter.tracking.classify import HUMAN, classify
from newsletter.tracking.models import MachineClass


@pytest.mark.parametrize(
    ("agent", "made_by"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4", MachineClass.HUMAN),
        ("", MachineClass.HUMAN),
        (
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            MachineClass.PROXY,
        ),
        ("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", MachineClass.PROXY),
        ("Mozilla/5.0", MachineClass.APPLE_MPP),
        ("Mozilla/5.0 ", MachineClass.HUMAN),
    ],
)
def test_a_hit_is_classed_by_what_its_sender_calls_itself(agent, made_by):
    assert classify(agent) is made_by


def test_a_picture_proxy_stands_for_a_person_and_apples_does_not():
    assert frozenset({MachineClass.HUMAN, MachineClass.PROXY}) == HUMAN
