"""Every surface speaks by the tracking mode in force: mode x surface, as a table.

``consent`` and ``aggregate`` ask for permission, ``notice`` tells and lets refuse, ``off`` says nothing.
"""

import re

import pytest

from newsletter.campaigns.content.compose import compose
from newsletter.privacy.everyone import collect_personal_data
from newsletter.privacy.export import labels
from newsletter.privacy.models import RequestKind
from newsletter.privacy.notice.content import notice_sections
from newsletter.privacy.requests import fulfil, register
from newsletter.subscribers import links
from newsletter.subscribers.consent.tracking import tracking_label
from newsletter.subscribers.models import Consent, ConsentKind, Purpose, Signup, Subscriber, TrackingState
from newsletter.subscribers.signup.queue import load_queued
from newsletter.subscribers.transfer.exporter import iterate_csv
from newsletter.web.i18n import force_language, translate
from tests.subscribers.conftest import change_settings
from tests.subscribers.pages import Page
from tests.support.clock import NOW

ALLOW = "Sallin avausten ja klikkausten seurannan."
REFUSE = "En halua, että avauksiani ja klikkauksiani seurataan."
TOLD = "Seuraamme uutiskirjeidemme avauksia ja klikkauksia."

__all__ = ["change_settings"]

#: mode: (the value of the box, its words, what is told before it, is silence measured)
FORM = {
    "consent": ("yes", ALLOW, "", False),
    "aggregate": ("yes", ALLOW, "", False),
    "notice": ("no", REFUSE, TOLD, True),
    "off": (None, "", "", False),
}
MODES = pytest.mark.parametrize("mode", FORM)


@pytest.fixture
def in_mode(mode, change_settings):
    change_settings(tracking=mode)
    return FORM[mode]


def _asks(page: str) -> tuple[str | None, set[str]]:
    """Return what the box on a page posts, None where there is none, and which sentences stand there."""
    box = re.search(r'<input[^>]*name="tracking"[^>]*>', page)
    value = re.search(r'value="(\w+)"', box.group()) if box else None
    return value and value.group(1), {sentence for sentence in (ALLOW, REFUSE, TOLD) if sentence in page}


def _expected(row) -> tuple[str | None, set[str]]:
    value, label, told, _measured = row
    return value, {label, told} - {""}


@MODES
@pytest.mark.parametrize("path", ["/subscribe?lang=fi", "/subscribe/form?lang=fi"])
def test_the_form_asks_by_the_mode(client, in_mode, make_list, path):
    make_list()

    assert _asks(client.get(path).text) == _expected(in_mode)


@MODES
def test_the_own_page_asks_by_the_mode(client, in_mode, make_subscriber):
    person = make_subscriber("meri@example.com")

    assert _asks(client.get(_own_page(person)).text) == _expected(in_mode)


@MODES
@pytest.mark.parametrize("state", TrackingState)
def test_the_own_page_never_ticks_what_nobody_chose(client, in_mode, make_subscriber, state):
    person = make_subscriber("meri@example.com", tracking=state)

    page = Page(client.get(_own_page(person)))

    ticked = {"yes": TrackingState.GRANTED, "no": TrackingState.REFUSED}.get(in_mode[0])
    assert ("tracking" in page.checked) == (state is ticked)


@MODES
def test_a_newsletter_tells_and_leads_to_the_choice(in_mode, make_campaign):
    (edition,) = make_campaign().editions

    parts = compose(edition)

    for part in (parts.text, parts.html):
        assert (TOLD in part) == in_mode[3]
        assert ("#measuring" in part) == in_mode[3]


@MODES
@pytest.mark.parametrize("state", TrackingState)
def test_exports_say_whether_somebody_is_measured(in_mode, mode, make_subscriber, state):
    person = make_subscriber("meri@example.com", tracking=state)

    measured = mode != "off" and (
        state is TrackingState.GRANTED or (in_mode[3] and state is TrackingState.UNKNOWN)
    )
    assert collect_personal_data(person)["is_measured"] is measured
    line = list(iterate_csv([], "record"))[1].strip()
    assert line.split(",")[-3:-1] == [state.value, "yes" if measured else "no"]


IN_WORDS = {
    ("consent", "unknown"): "Ei kysytty",
    ("consent", "granted"): "Sallittu",
    ("consent", "refused"): "Ei sallittu",
    ("aggregate", "unknown"): "Ei kysytty: vain lukumäärät lasketaan, ilman henkilötietoja",
    ("aggregate", "granted"): "Sallittu",
    ("aggregate", "refused"): "Ei sallittu",
    ("notice", "unknown"): "Seurataan: seurannasta on kerrottu, eikä sitä ole kielletty",
    ("notice", "granted"): "Sallittu",
    ("notice", "refused"): "Ei sallittu",
    ("off", "unknown"): "Seuranta ei ole käytössä",
    ("off", "granted"): "Seuranta ei ole käytössä",
    ("off", "refused"): "Seuranta ei ole käytössä",
}


@MODES
@pytest.mark.parametrize("state", TrackingState)
def test_pages_and_copies_say_the_choice_in_words(in_mode, mode, make_subscriber, state):
    person = make_subscriber("meri@example.com", tracking=state)

    with force_language("fi"):
        words = translate(tracking_label(state))
        copy = dict(labels.data_sections(collect_personal_data(person))[0].records[0])

    assert words == IN_WORDS[mode, state.value]
    assert copy["Avausten ja klikkausten seuranta"] == words


USE = {
    "consent": "Käyttö: tilaamiesi uutiskirjeiden lähettäminen ja niiden seuranta, jos sallit sen.",
    "notice": "Käyttö: tilaamiesi uutiskirjeiden lähettäminen ja niiden seuranta, ellet kiellä sitä.",
    "aggregate": "Käyttö: tilaamiesi uutiskirjeiden lähettäminen ja niiden seuranta, jos sallit sen."
    " Muuten avaukset ja klikkaukset vain lasketaan ilman tietoja, joista sinut voisi tunnistaa.",
    "off": "Käyttö: tilaamiesi uutiskirjeiden lähettäminen. Avauksia ja klikkauksia ei seurata.",
}


@MODES
def test_the_answer_to_an_access_request_names_the_use_by_the_mode(in_mode, mode, make_subscriber):
    make_subscriber("meri@example.com")
    request = register.record_request(
        RequestKind.ACCESS, "meri@example.com", channel="mail", language="fi", now=NOW, actor="staff:1"
    )

    answered = fulfil.fulfil_request(request.id, now=NOW, actor="staff:1", reply_by="print")

    assert [line for line in (answered.reply or "").split("\n\n") if line.startswith("Käyttö:")] == [
        USE[mode]
    ]


@MODES
def test_the_notice_speaks_by_the_mode(in_mode, mode):
    begins = {
        "consent": "Avauksia ja klikkauksia seurataan vain",
        "notice": "Avauksia ja klikkauksia seurataan: ",
        "aggregate": "Jos sallit seurannan",
        "off": "Avauksia ja klikkauksia ei ",
    }

    with force_language("fi"):
        (section,) = [section for section in notice_sections() if section.id == "tracking"]

    assert section.paragraphs[0].startswith(begins[mode]), section.paragraphs[0]


# --- refusing --------------------------------------------------------------------------------------


def test_who_refuses_on_the_form_is_never_measured(client, request_link, change_settings, stored):
    change_settings(tracking="notice")
    path = request_link(tracking="no")
    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.UNKNOWN]

    client.post(path)

    assert [row.tracking for row in stored(Subscriber)] == [TrackingState.REFUSED]
    assert [(row.kind, row.method) for row in stored(Consent) if row.purpose is Purpose.TRACKING] == [
        (ConsentKind.WITHDRAWN, "form")
    ]


def test_an_empty_box_of_a_script_that_only_knows_asking_refuses(client, make_list, change_settings, stored):
    change_settings(tracking="notice")
    make_list("suomeksi")
    sent = {"email": "meri@example.com", "lists": ["suomeksi"], "consent": True, "tracking": False}

    client.post("/api/v1/subscriptions", json=sent)

    load_queued()
    assert [row.refuses_tracking for row in stored(Signup)] == [True]


def _own_page(person: Subscriber) -> str:
    return f"/preferences/{links.PREFERENCES.make(person.id)}?lang=fi"
