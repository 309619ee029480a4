"""OpenID Connect: who comes in, who does not, and that password and second step hold beside it (SS-1)."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.mail.models import OutboxMail
from newsletter.staff.models import Role, Staff
from tests.staff.conftest import PASSWORD, sign_in_as
from tests.subscribers.pages import Page
from tests.support.clock import NOW
from tests.support.provider import CLIENT, MERI, SECRET, Provider, other_key, shared_key

HOME = "/staff/"
REFUSED = "Kirjautuminen ei onnistunut (Kirjakaupan tunnus). Aloita alusta kirjautumissivulta."
NOBODY = (
    "Kirjakaupan tunnus tuntee sinut, mutta täällä ei ole käyttäjätunnusta, jonka se voisi avata."
    " Ota yhteyttä pääkäyttäjään."
)
AWAY = "Kirjakaupan tunnus ei vastaa juuri nyt. Yritä hetken kuluttua uudelleen tai kirjaudu salasanalla."


@pytest.fixture
def provider():
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def site(make_app, provider, engine):
    return make_app(
        base_url="https://news.example",
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT,
        oidc_client_secret=SECRET,
        oidc_name="Kirjakaupan tunnus",
    )


@pytest.fixture
def client(site):
    browser = site.test_client()
    browser.environ_base["wsgi.url_scheme"] = "https"
    return browser


@pytest.fixture
def meri(make_staff):
    return lambda **account: make_staff(**{"email": MERI["email"]} | account)


@pytest.fixture
def leave_for(client):
    """Go to the provider; return the address there."""

    def go(query=""):
        answer = client.get(f"/staff/login/openid{query}")
        assert answer.status_code == 303
        return answer.location

    return go


@pytest.fixture
def come(client, provider, leave_for):
    """Go to the provider and come back."""
    return lambda query="": client.get(_path(provider.authorize(leave_for(query))))


def _path(url):
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("https", "news.example")
    return f"{parts.path}?{parts.query}"


def is_in(client):
    return client.get("/staff/account/").status_code == 200


def acts():
    return list(db.session.scalars(sa.select(AuditEntry.action).order_by(AuditEntry.id)))


def mails():
    return [
        mail.context["what"] for mail in db.session.scalars(sa.select(OutboxMail).order_by(OutboxMail.id))
    ]


# --- in ------------------------------------------------------------------------------------------------


def test_who_has_an_account_comes_in_and_is_told_the_first_time(client, come, meri):
    meri()

    answers = [come(), come()]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert is_in(client)
    assert acts() == ["openid linked", "signed in", "signed in"]
    assert mails() == ["openid_linked"]


def test_the_question_is_bound_to_this_browser_and_shows_no_secret(leave_for):
    asked = parse_qs(urlsplit(leave_for()).query)

    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["redirect_uri"] == ["https://news.example/staff/login/openid/back"]
    assert set(asked["scope"][0].split()) == {"openid", "email"}
    assert all(len(asked[name][0]) >= 43 for name in ("state", "nonce", "code_challenge"))
    assert SECRET not in str(asked)


def test_from_then_on_the_number_counts_and_not_the_address(client, come, meri, provider):
    meri()
    come()
    provider.person["email"] = "uusi@kirjakauppa.example"

    assert come().status_code == 302


def test_an_address_that_has_another_owner_opens_nothing(client, come, meri, provider):
    meri()
    come()
    other = client.application.test_client()
    provider.person["sub"] = "4712"

    answer = come()

    assert (answer.status_code, NOBODY in answer.text) == (403, True)
    assert acts().count("signed in") == 1
    assert not is_in(other)


def test_the_address_may_be_said_apart(come, meri, provider):
    meri()
    provider.says_email_apart = True

    assert come().status_code == 302


def test_it_goes_on_to_the_page_that_was_wanted_and_to_no_other_site(come, meri):
    meri()

    assert come("?next=/staff/lists/").location == "/staff/lists/"
    for elsewhere in ("https://huijaus.example/", "//huijaus.example", "/staff/\\huijaus.example"):
        assert come(f"?next={elsewhere}").location == HOME


def test_keys_may_change_between_two_times(come, meri, provider):
    meri()
    come()
    provider.keys.keys[0] = other_key()

    assert come().status_code == 302


# --- the second step -------------------------------------------------------------------------------------


def test_ss1_our_own_second_step_is_asked_for(client, come, meri):
    meri(role=Role.ADMIN, totp_secret="x", recovery_hashes=[])

    answer = come()

    assert answer.location.startswith("/staff/login/code")
    assert not is_in(client)


def test_ss1_but_not_twice_where_the_provider_asked_for_more_than_one_thing(client, come, meri, provider):
    meri(role=Role.ADMIN, totp_secret="x", recovery_hashes=[])
    provider.claims["amr"] = ["pwd", "otp", "mfa"]

    come()

    assert is_in(client)


@pytest.mark.parametrize("said", ["not mfa", "mfa", 5, {"mfa": 1}, ["pwd"], []])
def test_ss1_only_a_list_of_methods_counts(client, come, meri, provider, said):
    meri(role=Role.ADMIN, totp_secret="x", recovery_hashes=[])
    provider.claims["amr"] = said

    assert come().location.startswith("/staff/login/code")


def test_ss1_who_needs_a_second_step_still_has_to_set_it_up(client, come, meri):
    meri(role=Role.ADMIN)

    come()

    assert urlsplit(client.get("/staff/lists/").location).path == "/staff/account/second-step"


# --- out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "person",
    [
        pytest.param({"email_verified": False}, id="address not verified"),
        pytest.param({"email_verified": None}, id="nothing said of it"),
        pytest.param({"email": "tuntematon@kirjakauppa.example"}, id="no account"),
        pytest.param({"email": "ei osoite"}, id="no address"),
        pytest.param({"email": ""}, id="empty"),
        pytest.param({"email_verified": ["true"]}, id="verified is a list"),
    ],
)
def test_who_is_nobody_of_ours_is_told_so(client, come, meri, provider, person):
    meri()
    provider.person |= person

    answer = come()

    assert (answer.status_code, NOBODY in answer.text, is_in(client)) == (403, True, False)
    assert acts() == []


def test_a_closed_account_stays_closed(client, come, meri):
    account = meri()
    come()
    account.active = False
    db.session.commit()

    assert come().status_code == 403
    assert not is_in(client)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"iss": "https://toinen.example"}, id="another issuer"),
        pytest.param({"aud": "toinen"}, id="for another site"),
        pytest.param({"aud": [CLIENT, "toinen"], "azp": "toinen"}, id="handed to another site"),
        pytest.param({"nonce": "toinen"}, id="another nonce"),
        pytest.param({"nonce": None}, id="no nonce"),
        pytest.param({"exp": int(NOW.timestamp()) - 120}, id="over"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"sub": None}, id="nobody"),
        pytest.param({"iat": int(NOW.timestamp()) + 3600}, id="of tomorrow"),
    ],
)
def test_an_identity_that_is_not_all_it_must_be_is_refused(client, come, meri, provider, claims):
    meri()
    provider.claims = claims

    answer = come()

    assert (answer.status_code, REFUSED in answer.text, is_in(client)) == (403, True, False)


@pytest.mark.parametrize(
    "signs_with",
    [
        pytest.param(lambda: ("none", None), id="nobody"),
        pytest.param(lambda: ("RS256", other_key()), id="another key"),
        pytest.param(lambda: ("HS256", shared_key()), id="our own secret"),
    ],
)
def test_a_signature_must_be_the_providers(client, come, meri, provider, signs_with):
    meri()
    provider.signs_with = signs_with()

    answer = come()

    assert (answer.status_code, is_in(client)) == (403, False)


def test_an_answer_is_taken_once(client, provider, leave_for, meri):
    meri()
    back = _path(provider.authorize(leave_for()))
    first = client.get(back)
    client.post("/staff/logout")

    assert (first.status_code, client.get(back).status_code) == (302, 403)


def test_an_answer_is_taken_only_where_it_was_asked_for(client, site, provider, leave_for, meri):
    """Nobody can be signed in as somebody else by a link (RFC 6749, 10.12)."""
    meri()
    back = _path(provider.authorize(leave_for()))
    victim = site.test_client()

    assert (victim.get(back).status_code, is_in(victim)) == (403, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query.replace("state=", "state=x"),
        lambda query: query.replace("state=", "state=%C3%A4%ED%A0%80"),
        lambda query: query.replace("code=", "code=x"),
        lambda query: query + "&iss=https%3A%2F%2Ftoinen.example",
        lambda query: query.partition("?")[0],
        lambda query: query.partition("?")[0] + "?error=access_denied&state=x",
    ],
    ids=["state", "no ASCII", "code", "issuer", "nothing", "refused there"],
)
def test_an_answer_that_was_changed_is_refused(client, provider, leave_for, meri, change):
    meri()
    back = _path(provider.authorize(leave_for()))

    assert client.get(change(back)).status_code == 403
    assert not is_in(client)


def test_an_answer_that_comes_too_late_is_refused(client, provider, leave_for, meri, clock):
    meri()
    back = _path(provider.authorize(leave_for()))
    clock.shift(timedelta(minutes=11))

    assert client.get(back).status_code == 403


def test_a_look_ahead_takes_nothing(client, provider, leave_for, meri):
    meri()
    back = _path(provider.authorize(leave_for()))

    assert client.head(back).status_code == 405
    assert client.get(back).status_code == 302


# --- when the provider is away ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["/.well-known/openid-configuration", "/token", "/keys"])
def test_a_provider_that_is_away_is_called_that_and_the_password_works(
    client, provider, leave_for, meri, place
):
    meri()
    provider.broken = {place}

    if place.startswith("/."):
        answer = client.get("/staff/login/openid")
    else:
        answer = client.get(_path(provider.authorize(leave_for())))

    assert (answer.status_code, AWAY in answer.text) == (503, True)
    token = Page(client.get("/staff/login")).value("csrf_token")
    form = {"csrf_token": token, "email": MERI["email"], "password": PASSWORD}
    client.post("/staff/login", data=form, headers={"Referer": "https://localhost/staff/login"})
    assert is_in(client)


def test_a_provider_that_is_gone_is_called_that(client, provider):
    provider.close()

    answer = client.get("/staff/login/openid")

    assert (answer.status_code, AWAY in answer.text) == (503, True)


@pytest.mark.parametrize(
    "description",
    [
        {"issuer": "https://toinen.example"},
        {"token_endpoint": "http://toinen.example/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": None},
    ],
)
def test_secrets_go_nowhere_strange(client, provider, description):
    provider.description = description

    assert client.get("/staff/login/openid").status_code == 503


# --- the pages -------------------------------------------------------------------------------------------


def test_the_way_in_is_offered_on_the_page_of_logging_in(client):
    assert "Kirjaudu: Kirjakaupan tunnus" in client.get("/staff/login").text


def test_without_the_setting_nothing_of_it_is_there(make_app, engine):
    plain = make_app().test_client()

    assert plain.get("/staff/login/openid").status_code == 404
    assert plain.get("/staff/login/openid/back").status_code == 404
    assert "openid" not in plain.get("/staff/login").text


def test_it_can_be_taken_away_and_used_anew(client, come, meri):
    account = meri()
    come()
    with client.application.app_context():
        sign_in_as(client, account)

    token = Page(client.get("/staff/account/")).value("csrf_token")
    referer = {"Referer": "https://localhost/staff/account/"}
    client.post("/staff/account/openid/unlink", data={"csrf_token": token}, headers=referer)

    assert db.session.scalar(sa.select(Staff.openid_subject)) is None
    assert mails() == ["openid_linked", "openid_unlinked"]
    assert come().status_code == 302


def test_asking_too_often_is_refused(client, monkeypatch):
    monkeypatch.setattr("newsletter.staff.auth.throttle.OPENID_PER_NETWORK", "2/10minute")

    assert [client.get("/staff/login/openid").status_code for _time in range(3)] == [303, 303, 429]
