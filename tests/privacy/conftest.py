"""What the tests of privacy share, with those of signing up and of measuring too."""

from collections.abc import Callable
from datetime import datetime

import pytest

from newsletter.db import db
from newsletter.tracking.models import Event
from tests.privacy.purging import event_row
from tests.subscribers.conftest import english, finnish, request_link, sign_up, stored
from tests.tracking.conftest import send

__all__ = ["english", "finnish", "make_event", "request_link", "send", "sign_up", "stored"]


@pytest.fixture
def make_event(app) -> Callable[..., None]:
    """Store a raw record."""

    def make(at: datetime, subscriber_id: int = 4711) -> None:
        db.session.add(Event(**event_row(at, subscriber_id)))
        db.session.commit()

    return make
