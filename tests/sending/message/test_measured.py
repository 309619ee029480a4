"""Whose copy is measured: what they said, under the mode the operator chose, at the moment of sending."""

import pytest

from newsletter.mail.backends import mailbox_folder
from newsletter.subscribers.models import TrackingState
from tests.support.mailbox import Mailbox, links_of, token


@pytest.mark.parametrize(
    ("mode", "copies"),
    [
        ("consent", {"unknown": "plain", "refused": "plain", "granted": "own"}),
        ("notice", {"unknown": "own", "refused": "plain", "granted": "own"}),
        ("aggregate", {"unknown": "shared", "refused": "shared", "granted": "own"}),
        ("off", {"unknown": "plain", "refused": "plain", "granted": "plain"}),
    ],
)
def test_who_is_measured_depends_on_what_they_said_and_on_the_mode(
    start, make_app, make_list, make_subscriber, send_due, mode, copies
):
    fi = make_list()
    readers = {state: make_subscriber(lists=[fi], tracking=state) for state in TrackingState}
    app = make_app(tracking=mode)
    campaign = start([fi])

    send_due(app)

    sent = Mailbox(mailbox_folder(app.config["NEWSLETTER"]))
    shared = links_of(sent.to(readers[TrackingState.REFUSED].address)[0], "o")
    found = {}
    for state, reader in readers.items():
        (copy,) = sent.to(reader.address)
        hits = links_of(copy, "o")
        found[state.value] = "plain" if not hits else "shared" if hits == shared else "own"
    assert found == copies
    assert campaign.totals.measured == list(copies.values()).count("own")


@pytest.mark.parametrize(("state", "pictures"), [(TrackingState.GRANTED, 1), (TrackingState.REFUSED, 0)])
def test_a_choice_made_between_start_and_sending_counts(
    start, make_list, make_subscriber, send_due, outgoing, state, pictures
):
    fi = make_list()
    reader = make_subscriber(lists=[fi], tracking=TrackingState.UNKNOWN)
    start([fi])

    reader.tracking = state
    send_due()

    assert len(links_of(outgoing.last, "o")) == pictures


def test_links_for_everybody_name_nobody(start, make_app, make_list, make_readers, send_due):
    fi = make_list()
    make_readers(fi, 2)
    app = make_app(tracking="aggregate")
    start([fi])

    send_due(app)

    one, other = Mailbox(mailbox_folder(app.config["NEWSLETTER"]))
    assert (token(one, "o"), links_of(one, "c")) == (token(other, "o"), links_of(other, "c"))
