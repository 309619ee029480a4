"""The page on which staff decide what is sent again."""

import pytest

from newsletter.db import db
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.staff.models import Role
from tests.staff.conftest import enter, make_staff, submit

__all__ = ["enter", "make_staff", "submit"]


@pytest.fixture
def address(start, make_list, make_readers):
    """A campaign with one delivery that failed and one that is uncertain, and its page."""
    fi = make_list()
    make_readers(fi, 2)
    campaign = start([fi])
    failed, uncertain = db.session.query(Delivery).order_by(Delivery.subscriber_id).all()
    failed.status, failed.reply_code, failed.reply_text = DeliveryStatus.FAILED, 550, "5.1.1 no <b>such</b> …"
    uncertain.status = DeliveryStatus.UNCERTAIN
    campaign.totals.failed = campaign.totals.uncertain = 1
    db.session.commit()
    return f"/staff/campaigns/{campaign.id}/undelivered"


def states():
    return [row.status.value for row in db.session.query(Delivery).order_by(Delivery.subscriber_id)]


def test_the_page_masks_addresses_and_escapes_what_servers_say(address, client, enter):
    enter(role=Role.SENDER)

    page = client.get(address, query_string={"lang": "fi"}).text

    assert "lukija000@example.com" not in page
    assert "l•••@example.com" in page
    assert "no &lt;b&gt;such&lt;/b&gt; …" in page


def test_what_failed_is_sent_again_by_one_press(address, client, enter, submit):
    enter(role=Role.SENDER)

    answer = submit(address, decision="failed-again")

    assert (answer.status_code, states()) == (303, ["queued", "uncertain"])


@pytest.mark.parametrize(("sure", "then"), [({}, "uncertain"), ({"sure": "yes"}, "queued")])
def test_what_is_uncertain_is_sent_again_only_by_who_says_to_be_sure(
    address, client, enter, submit, sure, then
):
    enter(role=Role.SENDER)

    submit(address, decision="uncertain-again", **sure)

    assert states() == ["failed", then]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR, Role.PRIVACY])
def test_others_neither_see_nor_decide(address, client, enter, submit, role):
    enter(role=role)

    assert client.get(address).status_code == 403
    assert states() == ["failed", "uncertain"]


@pytest.mark.parametrize("role", list(Role))
def test_only_who_may_open_the_page_sees_the_way_to_it(address, client, enter, role):
    enter(role=role)

    page = client.get(address.removesuffix("/undelivered")).text

    opens = client.get(address).status_code == 200
    assert (f'href="{address}"' in page) is opens
    assert opens is (role in {Role.SENDER, Role.ADMIN})
