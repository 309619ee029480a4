"""Many people at once, found among many rows."""

import pytest
import sqlalchemy as sa

from newsletter.db import db, id_bitmap
from newsletter.db.batching import IdRange
from newsletter.db.id_bitmap import in_bitmap, in_people
from newsletter.privacy.models import PurgeCandidate
from newsletter.tracking.models import Event
from tests.privacy.purging import DUE, event_row

#: The first there can be, neighbours, and one whom no string of bytes reaches.
EVERYBODY = (1, 2, 3, 7, 8, 9, 1000)


@pytest.mark.parametrize("largest", [id_bitmap.MAX_BITMAP_ID, 5])
@pytest.mark.parametrize("wanted", [(), (1,), (8,), (1, 3, 8), (1000,), EVERYBODY])
def test_exactly_these_people_are_found(app, monkeypatch, wanted, largest):
    monkeypatch.setattr(id_bitmap, "MAX_BITMAP_ID", largest)
    db.session.add_all(Event(**event_row(DUE, number)) for number in EVERYBODY)
    db.session.add_all(PurgeCandidate(subscriber_id=number) for number in wanted)
    db.session.commit()

    crowd = in_bitmap(Event.subscriber_id, sa.select(PurgeCandidate.subscriber_id))

    assert _found(crowd) == wanted


@pytest.mark.parametrize(
    ("people", "wanted"),
    [
        ([2, 8, 9], (2, 8, 9)),
        (sa.select(PurgeCandidate.subscriber_id), (1, 3, 8, 1000)),
        (IdRange(sa.select(PurgeCandidate.subscriber_id), 2, 8), (3, 8)),
        (IdRange(sa.select(PurgeCandidate.subscriber_id), 9, 999), ()),
    ],
)
def test_people_are_given_as_numbers_as_a_query_or_as_a_span_of_it(app, people, wanted):
    db.session.add_all(Event(**event_row(DUE, number)) for number in EVERYBODY)
    db.session.add_all(PurgeCandidate(subscriber_id=number) for number in (1, 3, 8, 1000))
    db.session.flush()

    assert _found(in_people(Event.subscriber_id, people)) == wanted


def _found(crowd: sa.ColumnElement[bool]) -> tuple[int, ...]:
    found = sa.select(Event.subscriber_id).where(crowd).order_by(Event.subscriber_id)
    return tuple(db.session.scalars(found))
