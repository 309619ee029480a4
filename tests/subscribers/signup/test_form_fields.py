"""Whatever the fields of the form hold, it is taken or refused, and a refusal stores nothing."""

from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from newsletter.mail.models import OutboxMail
from newsletter.subscribers.models import Consent, Signup, Subscriber, Wording

anything = st.text(max_size=60) | st.lists(st.text(max_size=20), max_size=3)
# Mostly right, so that one wrong field is met among good ones.
forms = st.fixed_dictionaries(
    {},
    optional={
        "email": st.just("meri@example.com") | st.emails() | anything,
        "lists": st.just("suomeksi") | anything,
        "consent": st.just("yes") | anything,
        "tracking": st.just("yes") | anything,
        "lang": st.sampled_from(["fi", "en"]) | anything,
        "website": st.just("") | anything,
        "shown": anything,
        "altcha": anything,
        "embedded": anything,
        "form_url": anything,
    },
)
often = hypothesis_settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


@often
@given(form=forms)
@example(form={"email": "me\x00ri@example.com", "lists": "suomeksi", "consent": "yes"})
@example(form={"email": "meri@example.com\r\nBcc: kalle@example.com", "lists": "suomeksi", "consent": "yes"})
@example(form={"email": "meri@example.com", "lists": ["suomeksi", "\x00"], "consent": "yes"})
@example(form={"email": "meri@example.com", "lists": "suomeksi", "consent": "yes", "lang": "\x00"})
def test_a_form_is_taken_or_refused_and_a_refusal_stores_nothing(client, finnish, stored, form):
    tables = (Subscriber, Signup, Consent, OutboxMail, Wording)
    before = [len(stored(table)) for table in tables]

    status = client.post("/subscribe", data=form).status_code

    assert status in {303, 422, 429}
    if status != 303:
        assert [len(stored(table)) for table in tables] == before
    if form.get("consent") != "yes":
        assert status == 422
