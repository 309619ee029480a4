"""The page names what needs attention, to those who can do something about it."""

from datetime import timedelta

import pytest

from newsletter.campaigns.models import CampaignStatus
from newsletter.db import db
from newsletter.mail import outbox
from newsletter.mail.models import MailStatus
from newsletter.staff.access import UNDERTAKING, make_uniquifier
from newsletter.staff.models import Role, Staff
from tests.staff.conftest import sign_in_as
from tests.subscribers.pages import Page
from tests.support.clock import NOW


@pytest.fixture
def matters(client):
    def of(role: Role) -> list[str]:
        account = Staff(
            email=f"{role.value}@kirjakauppa.example",
            password="",
            fs_uniquifier=make_uniquifier(),
            role=role,
            created_at=NOW,
            totp_secret="x",
            undertaken_at=NOW,
            undertaking_version=UNDERTAKING,
        )
        db.session.add(account)
        db.session.commit()
        sign_in_as(client, account)
        return Page(client.get("/staff/attention")).texts(".matters li")

    return of


def test_each_level_sees_what_it_can_mend(matters, make_campaign, clock):
    mail = outbox.enqueue("activated", to="meri@example.com", language="fi", now=NOW, context={})
    mail.status = MailStatus.FAILED
    make_campaign().status = CampaignStatus.PAUSED
    db.session.commit()
    clock.shift(timedelta(minutes=1))

    assert matters(Role.VIEWER) == []
    assert matters(Role.PRIVACY) == ["Perille menemättömiä yksittäisiä viestejä: 1"]
    assert len(matters(Role.ADMIN)) == 3
    assert matters(Role.SENDER) == [
        "Perille menemättömiä yksittäisiä viestejä: 1",
        "Keskeytettyjä kirjeitä: 1",
    ]


def test_mails_that_nobody_takes_are_named(matters, clock):
    outbox.enqueue("activated", to="meri@example.com", language="fi", now=NOW, context={})
    db.session.commit()
    clock.shift(timedelta(minutes=20))

    assert (
        "Viestit odottavat, eikä mikään työprosessi lähetä niitä. Tarkista, että työprosessi on käynnissä."
        in [*matters(Role.SENDER)]
    )
