"""Every mixture of answers: the totals are true, and each delivery ends where its answers led it."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.campaigns.models import CampaignStatus
from newsletter.subscribers.models import SubscriptionStatus

deeds = st.tuples(
    st.sampled_from(["RCPT", "DATA", "message"]),
    st.sampled_from(["451 4.3.0 No", "550 5.1.1 No such user", ""]),
)


def outcome_of(script: list[tuple[str, str]]) -> str:
    """Say what must become of a delivery that meets these answers; "" breaks the connection off."""
    for stage, reply in script:
        if reply.startswith("5"):
            return "failed"
        if not reply and stage == "message":
            return "uncertain"
    return "accepted"


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scripts=st.lists(st.lists(deeds, max_size=3).map(sorted), min_size=1, max_size=5), leaving=st.booleans()
)
def test_totals_are_true_whatever_the_server_answers(
    start,
    make_list,
    make_subscriber,
    send_due,
    smtp_app,
    smtp_server,
    clock,
    statuses,
    outcome,
    scripts,
    leaving,
):
    fi = make_list()
    readers = [make_subscriber(lists=[fi]) for _script in scripts]
    campaign = start([fi])
    expected = {reader.address: outcome_of(script) for reader, script in zip(readers, scripts, strict=True)}
    for reader, script in zip(readers, scripts, strict=True):
        for stage, reply in script:
            if reply:
                smtp_server.answer(stage, reply, to=reader.address, times=1)
            else:
                smtp_server.drop(stage, to=reader.address, times=1)
    if leaving:
        readers[-1].subscriptions[0].status = SubscriptionStatus.UNSUBSCRIBED
        expected[readers[-1].address] = "skipped"

    for _round in range(20):
        if campaign.status is CampaignStatus.SENDING:
            send_due(smtp_app)
            clock.shift(timedelta(hours=1))

    assert statuses(campaign) == expected
    assert sum(outcome(campaign).values()) == len(readers)
    assert (campaign.status, len(smtp_server.messages)) == (
        CampaignStatus.SENT,
        list(expected.values()).count("accepted"),
    )
    smtp_server.messages.clear()
