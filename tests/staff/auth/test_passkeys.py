"""Passkeys: what is taken, what is refused, and that they are both steps of signing in (SS-1)."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.staff.auth import passkeys, two_factor
from newsletter.staff.models import Role, StaffPasskey
from tests.staff.conftest import PASSWORD, sign_in_as
from tests.subscribers.pages import Page
from tests.support.apps import Client
from tests.support.passkey import Device

REFUSED = "Pääsyavainta ei hyväksytty. Yritä uudelleen tai kirjaudu toisella tavalla."
NOT_MADE = (
    "Pääsyavainta ei syntynyt. Siihen tarvitaan selain, joka tuntee pääsyavaimet ja sallii komentosarjat,"
    " ja aikaa on viisi minuuttia."
)


@pytest.fixture
def site(make_app, engine):
    """A real installation, where nothing may wait."""
    return make_app(base_url="https://news.example", passkeys="true")


@pytest.fixture
def client(site):
    browser = site.test_client()
    browser.environ_base["wsgi.url_scheme"] = "https"
    return browser


@pytest.fixture
def enter(client, make_staff):
    """Be signed in at the site."""

    def sign_in(**account):
        made = make_staff(**account)
        with client.application.app_context():
            sign_in_as(client, made)
        return made

    return sign_in


@pytest.fixture
def post(client):
    """Send a form with the token of a page: ``post(page, to, **fields)``."""

    def send(page, to=None, **fields):
        token = Page(client.get(page)).value("csrf_token")
        referer = {"Referer": "https://localhost/staff/"}
        return client.post(to or page, data={"csrf_token": token} | fields, headers=referer)

    return send


@pytest.fixture
def add(post):
    """Add a passkey: ``add(Device())``."""

    def make(device, name="puhelin"):
        options = post("/staff/account/passkeys", "/staff/account/passkeys/options").json
        return post("/staff/account/passkeys", name=name, credential=device.make(options))

    return make


@pytest.fixture
def challenge(post):
    """Ask, as the login page does, what a passkey has to answer."""
    return lambda: post("/staff/login", "/staff/login/passkey").json


@pytest.fixture
def log_in(post, challenge):
    """Log in with a passkey, or with an answer made before."""
    return lambda device, query="": post(f"/staff/login{query}", passkey=device.sign(challenge()))


@pytest.fixture
def anna(client, enter, add):
    """An account with a passkey, logged out; the device is ``anna.device``."""
    account = enter(role=Role.ADMIN)
    account.device = Device()
    add(account.device)
    client.delete_cookie("__Host-staff")
    return account


def acts():
    return list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)))


def is_inside(client):
    return client.get("/staff/account/").status_code == 200


# --- adding -----------------------------------------------------------------------------------------


def test_the_first_passkey_brings_recovery_codes_a_mail_and_a_line_in_the_log(client, enter, add):
    account = enter(role=Role.ADMIN)

    page = Page(add(Device(), name="  työ  kannettava "))

    assert (page.heading, len(page.texts(".codes li"))) == ("Varakoodit", 8)
    assert (account.has_second_step, account.has_authenticator) == (True, False)
    (kept,) = db.session.scalars(sa.select(StaffPasskey))
    assert (kept.name, kept.last_used_at) == ("työ kannettava", None)
    assert acts() == ["passkey added"]
    assert [
        mail.context["what"] for mail in db.session.scalars(sa.select(OutboxMail).order_by(OutboxMail.id))
    ] == ["passkey_added"]
    assert client.get("/staff/campaigns").status_code == 200


def test_a_second_one_leaves_the_recovery_codes_alone(enter, add):
    account = enter()
    add(Device())
    before = account.recovery_hashes

    assert add(Device()).location == "/staff/account/#passkeys"
    assert (account.recovery_hashes, account.passkey_count) == (before, 2)


def test_the_browser_is_told_which_ones_there_are_and_nothing_of_the_person(enter, add, post):
    account = enter()
    device = Device()
    add(device)

    options = post("/staff/account/passkeys", "/staff/account/passkeys/options").json

    assert [known["id"] for known in options["excludeCredentials"]] == [
        json.loads(device.make(options))["id"]
    ]
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["attestation"] == "none"
    assert account.email.encode() not in device.handle


@pytest.mark.parametrize(
    "device",
    [
        Device(origin="https://news.example.evil.example"),
        Device(origin="http://news.example"),
        Device(rp_id="evil.example"),
        Device(verifies=False),
    ],
)
def test_what_was_made_elsewhere_or_without_its_owner_is_not_kept(enter, add, device):
    account = enter()

    page = Page(add(device))

    assert (page.status, page.texts("[role=alert] li"), account.passkey_count) == (422, [NOT_MADE], 0)


@pytest.mark.parametrize("answer", ["", "{}", "[]", "7", '"x"', "\x00", '{"id": 7}', "x" * 50_000])
def test_an_answer_that_is_none_is_refused(enter, post, answer):
    account = enter()
    post("/staff/account/passkeys", "/staff/account/passkeys/options")

    page = Page(post("/staff/account/passkeys", name="puhelin", credential=answer))

    assert (page.status, page.texts("[role=alert] li"), account.passkey_count) == (422, [NOT_MADE], 0)


@pytest.mark.parametrize("part", ["clientDataJSON", "attestationObject"])
@pytest.mark.parametrize("broken", ["", "AA", "!", -20, None, 7, {}])
def test_a_broken_answer_is_refused_wherever_it_breaks(enter, post, part, broken):
    account = enter()
    options = post("/staff/account/passkeys", "/staff/account/passkeys/options").json
    answer = break_off(Device().make(options), part, broken)

    page = Page(post("/staff/account/passkeys", name="puhelin", credential=answer))

    assert (page.status, page.texts("[role=alert] li"), account.passkey_count) == (422, [NOT_MADE], 0)


def break_off(answer, part, broken):
    """Put something else for a part of an answer, or cut that many letters off."""
    said = json.loads(answer)
    said["response"][part] = said["response"][part][:broken] if broken == -20 else broken
    return json.dumps(said)


def test_a_passkey_needs_a_name(enter, add):
    enter()

    assert Page(add(Device(), name="  ")).errors == {"name": "Anna pääsyavaimelle nimi."}


def test_the_same_passkey_is_not_kept_twice(enter, add):
    account = enter()
    device = Device()
    add(device)

    assert add(device).status_code == 422
    assert account.passkey_count == 1


def test_there_is_an_end_to_them(enter, add):
    account = enter()
    for number in range(20):
        row = {"staff_id": account.id, "credential": f"id{number:02}", "public_key": b"", "sign_count": 0}
        db.session.add(StaffPasskey(**row, name="x", created_at=account.created_at))
    db.session.commit()

    page = Page(add(Device()))

    assert page.texts("[role=alert] li") == [
        "Sinulla on liian monta pääsyavainta. Poista jokin, jota et käytä."
    ]


def test_adding_asks_again_who_one_is_and_then_goes_on(client, enter, post, clock):
    account = enter()
    clock.shift(timedelta(minutes=16))
    options = post("/staff/account/passkeys", "/staff/account/passkeys/options").json
    kept = {"name": "puhelin", "credential": Device().make(options)}

    asked = post("/staff/account/passkeys", **kept)

    assert (asked.status_code, account.passkey_count) == (403, 0)
    post("/staff/account/passkeys", **kept, proof=PASSWORD)
    assert account.passkey_count == 1


# --- logging in -------------------------------------------------------------------------------------


def test_a_passkey_logs_in_without_password_and_code(client, anna, log_in, now):
    answer = log_in(anna.device, query="?next=/staff/funnel")

    assert answer.location == "/staff/funnel"
    assert client.get("/staff/funnel").status_code == 200
    assert acts() == ["passkey added", "passkey used", "signed in"]
    (kept,) = db.session.scalars(sa.select(StaffPasskey))
    assert (kept.sign_count, kept.last_used_at) == (1, now)


def test_it_leads_to_no_other_site(anna, log_in):
    assert log_in(anna.device, query="?next=https://evil.example/").location == "/staff/"


def test_an_answer_works_once(client, anna, challenge, post):
    with client.session_transaction() as session:
        session.clear()
    answer = anna.device.sign(challenge())
    copied = client.get_cookie("__Host-staff").value
    assert post("/staff/login", passkey=answer).status_code == 302

    client.set_cookie("__Host-staff", copied, secure=True)
    page = Page(post("/staff/login", passkey=answer))

    assert (page.status, page.summary) == (422, [("#email", REFUSED)])
    client.set_cookie("__Host-staff", copied, secure=True)
    assert not is_inside(client)


def test_a_replay_is_refused_whatever_the_device_counts(client, anna, challenge, post):
    """Devices whose passkeys are kept on several of them always count 0, so the challenge alone guards."""
    kept = db.session.scalars(sa.select(StaffPasskey)).one()
    anna.device.count = -1
    answer = anna.device.sign(challenge())
    copied = client.get_cookie("__Host-staff").value
    assert post("/staff/login", passkey=answer).status_code == 302
    db.session.refresh(kept)
    assert kept.sign_count == 0

    client.set_cookie("__Host-staff", copied, secure=True)
    assert post("/staff/login", passkey=answer).status_code == 422


def test_a_challenge_is_over_after_five_minutes(client, anna, challenge, post, clock):
    answer = anna.device.sign(challenge())
    clock.shift(timedelta(minutes=5, seconds=1))

    assert post("/staff/login", passkey=answer).status_code == 422


def test_a_count_that_does_not_go_up_tells_of_a_copy(client, anna, log_in):
    log_in(anna.device)
    client.delete_cookie("__Host-staff")
    anna.device.count -= 1

    assert Page(log_in(anna.device)).summary == [("#email", REFUSED)]
    assert not is_inside(client)
    assert acts()[-1] == "passkey refused"


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("origin", "https://evil.example"),
        ("origin", "https://news.example:8443"),
        ("rp_id", "evil.example"),
        ("verifies", False),
        ("handle", b"somebody else"),
        ("key", Device().key),
        ("credential_id", b"unknown"),
    ],
)
def test_an_answer_from_elsewhere_or_of_another_is_refused(client, anna, log_in, what, value):
    setattr(anna.device, what, value)

    page = Page(log_in(anna.device))

    assert (page.status, page.summary) == (422, [("#email", REFUSED)])
    assert not is_inside(client)


def test_an_answer_to_nothing_that_was_asked_is_refused(anna, post):
    assert post("/staff/login", passkey=anna.device.sign({"challenge": "AAAA"})).status_code == 422


@pytest.mark.parametrize("part", ["clientDataJSON", "authenticatorData", "signature", "userHandle"])
@pytest.mark.parametrize("broken", ["", "AA", "!", -20, None, 7, {}])
def test_a_broken_answer_logs_nobody_in(client, anna, challenge, post, part, broken):
    answer = break_off(anna.device.sign(challenge()), part, broken)

    assert post("/staff/login", passkey=answer).status_code == 422
    assert not is_inside(client)


def test_a_closed_account_stays_closed(client, anna, log_in):
    anna.active = False
    db.session.commit()

    assert log_in(anna.device).status_code == 422
    assert not is_inside(client)


def test_trying_is_made_slow(anna, post):
    answers = [post("/staff/login", passkey="x").status_code for _number in range(60)]

    assert answers == [422] * 59 + [429]  # the adding counts


# --- the second step, and proving again ---------------------------------------------------------------


def test_the_password_alone_opens_nothing_once_there_is_a_passkey(client, anna, post, challenge):
    first = post("/staff/login", email=anna.email, password=PASSWORD)

    assert (first.location, client.get("/staff/campaigns").status_code) == ("/staff/login/code", 302)
    assert post("/staff/login/code", passkey=anna.device.sign(challenge())).location == "/staff/"
    assert client.get("/staff/campaigns").status_code == 200


def test_another_persons_passkey_is_no_second_step(client, anna, enter, add, post, challenge):
    other = Device()
    enter(email="kalle@kirjakauppa.example")
    add(other)
    client.delete_cookie("__Host-staff")
    post("/staff/login", email=anna.email, password=PASSWORD)

    page = Page(post("/staff/login/code", passkey=other.sign(challenge())))

    assert (page.status, page.errors) == (422, {"code": REFUSED})
    assert client.get("/staff/campaigns").status_code == 302


def test_a_recovery_code_stands_in_for_a_lost_passkey(client, anna, post):
    code = two_factor.generate_recovery_codes(anna)[0]
    db.session.commit()
    post("/staff/login", email=anna.email, password=PASSWORD)

    assert post("/staff/login/code", code=code).location == "/staff/"


def test_without_any_code_the_page_asks_for_the_passkey_alone(client, anna, post):
    anna.recovery_hashes = []
    db.session.commit()
    post("/staff/login", email=anna.email, password=PASSWORD)

    page = Page(client.get("/staff/login/code"))

    assert (page.texts("label"), page.texts("form button")) == ([], ["Käytä pääsyavainta"])


def test_it_proves_again_who_one_is(client, anna, log_in, post, challenge, clock):
    log_in(anna.device)
    clock.shift(timedelta(minutes=16))
    assert post("/staff/account/", "/staff/account/recovery-codes").status_code == 403

    proof = anna.device.sign(challenge())
    page = Page(post("/staff/account/", "/staff/account/recovery-codes", passkey=proof))

    assert page.heading == "Varakoodit"


def test_the_password_no_longer_proves_it(client, anna, log_in, post, clock):
    log_in(anna.device)
    clock.shift(timedelta(minutes=16))

    assert post("/staff/verify", proof=PASSWORD).status_code == 422


# --- removing -----------------------------------------------------------------------------------------


def number_of(account):
    return db.session.scalar(sa.select(StaffPasskey.id).where(StaffPasskey.staff_id == account.id))


def test_a_removed_passkey_opens_nothing_and_other_browsers_are_logged_out(client, enter, add, post, log_in):
    account, device = enter(role=Role.EDITOR), Device()
    add(device)
    elsewhere = client.application.test_client()
    elsewhere.environ_base["wsgi.url_scheme"] = "https"
    with client.application.app_context():
        sign_in_as(elsewhere, account)

    post("/staff/account/", f"/staff/account/passkeys/{number_of(account)}/remove")

    assert (is_inside(client), is_inside(elsewhere)) == (True, False)
    assert (account.has_second_step, account.recovery_hashes) == (False, [])
    assert acts() == ["passkey added", "passkey removed"]
    told = [
        mail.context["what"] for mail in db.session.scalars(sa.select(OutboxMail).order_by(OutboxMail.id))
    ]
    assert told == ["passkey_added", "passkey_removed"]
    client.delete_cookie("__Host-staff")
    assert log_in(device).status_code == 422


def test_the_only_second_step_of_a_level_that_needs_one_stays(enter, add, post):
    account = enter(role=Role.ADMIN)
    add(Device())

    page = Page(post("/staff/account/", f"/staff/account/passkeys/{number_of(account)}/remove"))

    assert (page.status, account.passkey_count) == (422, 1)


def test_nobody_removes_anothers(anna, enter, post):
    enter(email="kalle@kirjakauppa.example")
    number = number_of(anna)

    assert post("/staff/account/", f"/staff/account/passkeys/{number}/remove").status_code == 404
    assert post("/staff/account/", f"/staff/account/passkeys/{number}/name", name="x").status_code == 404
    assert (anna.passkey_count, passkeys.list_passkeys(anna)[0].name) == (1, "puhelin")


def test_a_passkey_can_be_called_something_else(enter, add, post):
    account = enter(role=Role.EDITOR)
    add(Device())
    rename = f"/staff/account/passkeys/{number_of(account)}/name"

    answers = [post("/staff/account/", rename, name=name).status_code for name in ("  uusi   puhelin ", " ")]

    assert answers == [303, 422]
    assert passkeys.list_passkeys(account)[0].name == "uusi puhelin"
    assert acts() == ["passkey added", "passkey renamed"]


def test_an_administrator_takes_passkeys_away_with_the_second_step(anna, enter, post, log_in, client):
    enter(email="kalle@kirjakauppa.example", role=Role.ADMIN, totp_secret="anything")

    post("/staff/accounts/", f"/staff/accounts/{anna.id}/second-step")

    assert (anna.passkey_count, anna.has_second_step) == (0, False)
    client.delete_cookie("__Host-staff")
    assert log_in(anna.device).status_code == 422


# --- where they are switched off ------------------------------------------------------------------------


def test_without_the_setting_nothing_shows_and_nothing_answers(app, make_staff):
    browser, account = Client(app), make_staff(role=Role.ADMIN)
    page = Page(browser.get("/staff/login"))
    sign_in_as(browser, account)

    assert page.texts(".passkey") == []
    assert browser.get("/staff/account/passkeys").status_code == 404
    assert Page(browser.get("/staff/account/")).texts("#passkeys") == []


def test_switched_off_a_passkey_still_guards_its_account(app, anna):
    """Fail closed: the password alone must not open again what took more before."""
    browser = Client(app)
    token = Page(browser.get("/staff/login")).value("csrf_token")
    fields = {"csrf_token": token, "email": anna.email, "password": PASSWORD}

    assert browser.post("/staff/login", data=fields).location == "/staff/login/code"
    anna.recovery_hashes = []
    db.session.commit()
    page = Page(browser.get("/staff/login/code"))
    assert page.texts("form p") == [
        "Tämän käyttäjätunnuksen toinen vaihe on pääsyavain, eivätkä pääsyavaimet ole täällä enää käytössä."
        " Pyydä pääkäyttäjää poistamaan toinen vaihe."
    ]
    token = page.value("csrf_token")
    answer = browser.post(
        "/staff/login", data={"csrf_token": token, "passkey": anna.device.sign({"challenge": "AA"})}
    )
    assert answer.status_code == 422
