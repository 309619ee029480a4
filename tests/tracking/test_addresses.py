"""IP addresses of opens and clicks: whole for a while, then their network (TR-6)."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.tracking.addresses import normalize_ip, truncate_if_due, truncate_ip
from newsletter.tracking.models import Event, EventKind, MachineClass
from tests.support.clock import NOW


@pytest.fixture
def keep(app):
    """Keep an open from an address, so many days old."""

    def keep(days: float, ip: str | None) -> None:
        db.session.add(
            Event(
                at=NOW - timedelta(days=days), campaign_id=1, edition_id=1, subscriber_id=1, kind=EventKind.OPEN,
                link_number=None, ip=ip, user_agent="", machine_class=MachineClass.HUMAN, rules_version=1,
            )
        )  # fmt: skip
        db.session.commit()

    return keep


def kept() -> list[str | None]:
    return list(db.session.scalars(sa.select(Event.ip).order_by(Event.id)))


def test_tr6_an_address_is_cut_after_ninety_days(keep):
    for days, ip in ((120, "203.0.113.77"), (91, "2001:db8:1:2:3::4"), (90.5, None), (89, "203.0.113.78")):
        keep(days, ip)

    assert truncate_if_due(NOW) == 2
    assert kept() == ["203.0.113.0/24", "2001:db8:1::/48", None, "203.0.113.78"]


def test_tr6_how_long_is_a_setting(make_app, keep):
    keep(20, "203.0.113.77")
    with make_app(ip_days=10).app_context():
        truncate_if_due(NOW)
        db.session.commit()
        cuts = kept()
        db.session.rollback()

    assert cuts == ["203.0.113.0/24"]


def test_it_goes_on_where_it_stopped_once_a_day(keep):
    keep(95, "203.0.113.1")
    keep(89.5, "203.0.113.2")
    first = truncate_if_due(NOW)

    again = [truncate_if_due(NOW + timedelta(hours=hours)) for hours in (1, 23, 25, 49)]

    assert (first, again) == (1, [0, 0, 1, 0])
    assert kept() == ["203.0.113.0/24", "203.0.113.0/24"]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("203.0.113.7", "203.0.113.7"), (" 203.0.113.7 ", "203.0.113.7"), ("203.0.113.7:80", "203.0.113.7"),
        ("[2001:DB8::1]:80", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", None), ("unknown", None), ("999.0.0.1", None),
    ],
)  # fmt: skip
def test_an_address_is_written_one_way(given, written):
    assert normalize_ip(given) == written


def test_what_has_been_cut_is_cut_to_the_same():
    assert truncate_ip(truncate_ip("203.0.113.77")) == "203.0.113.0/24"
