"""Many people at once, found among many rows."""

import pytest
import sqlalchemy as sa

from newsletter import crowds
from newsletter.crowds import theirs
from newsletter.db import db
from newsletter.privacy.models import PurgePerson
from newsletter.tracking.models import Event
from tests.privacy.purging import DUE, event_row

#: The first there can be, neighbours, and one whom no string of bytes reaches.
EVERYBODY = (1, 2, 3, 7, 8, 9, 1000)


@pytest.mark.parametrize("largest", [crowds.LARGEST, 5])
@pytest.mark.parametrize("wanted", [(), (1,), (8,), (1, 3, 8), (1000,), EVERYBODY])
def test_exactly_these_people_are_found(app, monkeypatch, wanted, largest):
    monkeypatch.setattr(crowds, "LARGEST", largest)
    db.session.add_all(Event(**event_row(DUE, number)) for number in EVERYBODY)
    db.session.add_all(PurgePerson(subscriber_id=number) for number in wanted)
    db.session.flush()

    crowd = theirs(Event.subscriber_id, sa.select(PurgePerson.subscriber_id))

    found = db.session.scalars(sa.select(Event.subscriber_id).where(crowd).order_by(Event.subscriber_id))
    assert tuple(found) == wanted
