"""SU-10: what staff enter for a person who asked on paper or by phone."""

import pytest

from newsletter.errors import AddressInvalid
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import (
    Consent,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    SuppressionReason,
)
from newsletter.subscribers.signup.manual import AddressSuppressed, AskedBefore, sign_up_for_person
from newsletter.subscribers.suppressions import suppress
from tests.support.clock import NOW


@pytest.fixture
def enter_person(finnish):
    return lambda address="meri@example.com": sign_up_for_person(
        address, [finnish], language="fi", way="phone", now=NOW, actor="console"
    )


def test_su10_who_is_entered_is_pending_and_gets_the_confirmation_mail(enter_person, stored):
    enter_person()

    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.PENDING]
    assert [(mail.template, mail.address) for mail in stored(OutboxMail)] == [("confirm", "meri@example.com")]
    assert [(row.method, row.ip) for row in stored(Consent)] == [("phone", "")]
    assert [(row.action, row.details) for row in stored(AuditEntry)] == [
        ("subscription entered", {"lists": "suomeksi", "way": "phone"})
    ]


def test_the_link_of_that_mail_confirms(enter_person, client, stored):
    enter_person()

    client.post(stored(OutboxMail)[0].context["confirm_url"])

    assert [row.status for row in stored(Subscription)] == [SubscriptionStatus.CONFIRMED]


@pytest.mark.parametrize("reason", SuppressionReason)
def test_rp5_a_suppressed_address_cannot_be_entered(enter_person, reason, stored):
    suppress("meri@example.com", reason, NOW)

    with pytest.raises(AddressSuppressed):
        enter_person()

    assert (stored(Subscriber), stored(OutboxMail)) == ([], [])


def test_su7_the_limits_of_an_address_hold_for_staff_too(enter_person, sign_up, change_settings, stored):
    change_settings(signup_limit_address="1/day")
    sign_up("meri@example.com")

    with pytest.raises(AskedBefore):
        enter_person()

    assert len(stored(OutboxMail)) == 1


def test_what_is_no_address_is_refused(enter_person):
    with pytest.raises(AddressInvalid):
        enter_person("meri")


def test_the_command_says_what_happens_next(app, finnish, stored):
    done = app.test_cli_runner().invoke(
        args=["subscribers", "enter", "meri@example.com", "--list", "suomeksi"]
    )

    assert (done.exit_code, done.output) == (
        0,
        "The confirmation mail is on its way; the subscription begins when it is answered.\n",
    )
    assert len(stored(OutboxMail)) == 1
