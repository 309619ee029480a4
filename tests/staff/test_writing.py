"""The writing page: saving, conflicts, pictures and previews, all without scripts, for those who may."""

import io

import pytest
import sqlalchemy as sa
from PIL import Image
from selectolax.lexbor import LexborHTMLParser

from newsletter.campaigns.drafts import get_campaign_lists
from newsletter.campaigns.editing import save_edition
from newsletter.campaigns.models import Campaign, CampaignStatus, Picture
from newsletter.db import db
from newsletter.staff.models import Role
from tests.subscribers.pages import Page
from tests.support.clock import NOW

JSON = {"Accept": "application/json"}
WRITERS = {Role.EDITOR, Role.SENDER, Role.ADMIN}


@pytest.fixture
def campaign(make_list, make_campaign):
    return make_campaign([make_list("suomeksi", "Uutiskirje")], subject="Uutiset", body="Hei!")


@pytest.fixture
def writer(enter):
    return enter(role=Role.EDITOR)


@pytest.fixture
def post(client, writer):
    """Send a form as the page has it: ``post(path, **fields)``."""

    def post(path, headers=None, **fields):
        page = client.get("/staff/campaigns/new")
        token = Page(page).value("csrf_token")
        return client.post(path, data={"csrf_token": token} | fields, headers=headers)

    return post


@pytest.fixture
def save(post, campaign):
    def save(headers=None, **fields):
        form = {"version": "1", "subject": "Uutiset", "preview": "", "body": "Hei!"} | fields
        return post(f"/staff/campaigns/{campaign.id}/edit/fi", headers, **form)

    return save


def red_dot(size=(40, 30)):
    target = io.BytesIO()
    Image.new("RGB", size, "red").save(target, "PNG")
    target.seek(0)
    return target


# --- from nothing to a draft -----------------------------------------------------------------------


def test_a_new_campaign_begins_with_a_subject_and_lists(client, post, make_list):
    make_list("suomeksi")

    answer = post("/staff/campaigns/new", subject="Uutiset", lists=["suomeksi"])

    made = db.session.scalars(sa.select(Campaign)).unique().one()
    assert (answer.status_code, answer.location) == (303, f"/staff/campaigns/{made.id}/edit")
    assert Page(client.get(answer.location)).heading == "Uutiset"


def test_what_is_missing_is_said_and_what_was_typed_is_kept(post, make_list):
    make_list("suomeksi")

    page = Page(post("/staff/campaigns/new", subject="", lists=["suomeksi"]))

    assert (page.status, page.summary) == (422, [("#subject", "Anna aihe.")])
    assert page.checked == ["list-suomeksi"]


# --- saving ----------------------------------------------------------------------------------------


def test_saving_without_scripts_leads_back_to_the_page(client, save, campaign):
    answer = save(body="# Uutta", preview="Lyhyesti", act="preview")

    assert answer.location == f"/staff/campaigns/{campaign.id}/edit?edition=fi#preview"
    db.session.refresh(campaign.editions[0])
    assert (campaign.editions[0].body, campaign.editions[0].version) == ("# Uutta", 2)
    assert Page(client.get(answer.location)).texts("[role=status] .notice") == ["Tallennettu."]


def test_saving_by_itself_answers_with_the_next_version(save):
    answer = save(JSON, body="Uutta")

    assert answer.json["version"] == 2
    assert answer.json["said"].startswith("Tallennettu: ")


def test_a_conflict_shows_both_and_loses_neither(client, save, campaign):
    save_edition(
        campaign.id, "fi", version=1, subject="Toisen otsikko", preview="", body="Toisen sanat", now=NOW,
        actor="console",
    )  # fmt: skip
    db.session.commit()

    told = save(JSON, body="Omat sanat")
    page = save(body="Omat sanat")

    assert (told.status_code, page.status_code) == (409, 409)
    assert told.json["said"].startswith("Joku muu on tallentanut")
    tree = LexborHTMLParser(page.text)
    assert tree.css_first("#body").text().strip() == "Omat sanat"
    assert tree.css_first("#their-body").text().strip() == "Toisen sanat"
    assert tree.css_first("#editor input[name=version]").attributes["value"] == "2"
    db.session.refresh(campaign.editions[0])
    assert campaign.editions[0].body == "Toisen sanat"

    assert save(version="2", body="Omat sanat").status_code == 303


def test_a_subject_that_cannot_be_one_is_tied_to_its_field(save):
    page = Page(save(subject="", body="Omat sanat"))

    assert page.status == 422
    assert list(page.errors) == ["subject"]
    assert page.texts("#body") == ["Omat sanat"]
    assert save(JSON, subject="").status_code == 422


def test_what_was_written_is_only_ever_text_on_the_page(client, save, campaign):
    nasty = "</textarea><script>alert(1)</script>"
    save(subject=nasty, body=nasty, preview=nasty)

    for path in ("edit", "send"):
        page = client.get(f"/staff/campaigns/{campaign.id}/{path}")
        assert "<script>alert" not in page.text


# --- editions, lists, copies -----------------------------------------------------------------------


def test_a_missing_edition_is_shown_with_what_its_readers_get_instead(client, post, campaign):
    page = Page(client.get(f"/staff/campaigns/{campaign.id}/edit"))
    assert (
        "Kirjeestä ei ole versiota tällä kielellä: English."
        " Lukijat saavat sen sijaan ensimmäisen kieliversion: Suomi."
    ) in page.texts("p.soft")

    answer = post(f"/staff/campaigns/{campaign.id}/editions", language="en")

    assert answer.location == f"/staff/campaigns/{campaign.id}/edit?edition=en"
    page = Page(client.get(answer.location))
    assert "Kirjeestä ei ole versiota" not in " ".join(page.texts("p.soft"))
    post(f"/staff/campaigns/{campaign.id}/editions/en/remove")
    db.session.expire_all()
    assert [edition.language for edition in campaign.editions] == ["fi"]


def test_the_lists_of_a_draft_can_be_changed(post, make_list, campaign):
    other = make_list("toinen")

    post(f"/staff/campaigns/{campaign.id}/lists", lists=["toinen"])
    refused = Page(post(f"/staff/campaigns/{campaign.id}/lists"))

    assert get_campaign_lists(campaign) == [other]
    assert (refused.status, refused.summary[0][1]) == (422, "Valitse vähintään yksi uutiskirje.")


def test_a_copy_opens_at_once(client, post, campaign):
    answer = post(f"/staff/campaigns/{campaign.id}/duplicate")

    assert answer.location == f"/staff/campaigns/{campaign.id + 1}/edit"
    assert Page(client.get(answer.location)).texts("#body") == ["Hei!"]


def test_what_has_been_sent_is_shown_and_not_changed(client, save, campaign):
    campaign.status = CampaignStatus.SENT
    db.session.commit()

    page = LexborHTMLParser(client.get(f"/staff/campaigns/{campaign.id}/edit").text)

    assert page.css("#editor [type=submit], #upload, script[src*='editor']") == []
    assert "readonly" in page.css_first("#body").attributes
    assert save(body="Uutta").status_code == 422


# --- pictures --------------------------------------------------------------------------------------


def test_a_picture_comes_back_as_the_line_that_shows_it(client, post, campaign):
    path = f"/staff/campaigns/{campaign.id}/pictures/fi"

    told = post(path, JSON, picture=(red_dot(), "piste.png"), alt="Punainen [piste]").json
    page = Page(post(path, picture=(red_dot(), "piste.png"), alt="Punainen [piste]"))

    name = db.session.scalars(sa.select(Picture.name)).one()
    line = f"![Punainen (piste)](http://127.0.0.1:8000/pictures/{name})"
    assert told == {"markdown": line}
    assert page.texts("main .notice code") == [line]


def test_what_is_no_picture_is_refused_at_its_field(post, campaign):
    path = f"/staff/campaigns/{campaign.id}/pictures/fi"

    page = Page(post(path, picture=(io.BytesIO(b"<svg/>"), "piste.png")))
    told = post(path, JSON, picture=(io.BytesIO(b"<svg/>"), "piste.png"))
    empty = post(path, JSON)

    assert page.errors == {"picture": "Tämä ei ole JPEG-, PNG-, GIF- tai WebP-kuva."}
    assert [page.status, told.status_code, empty.status_code] == [422, 422, 422]


def test_a_picture_may_be_larger_than_a_form_but_only_of_those_who_may_write(
    client, writer, campaign, log_out
):
    path = f"/staff/campaigns/{campaign.id}/pictures/fi"
    noise = io.BytesIO()
    Image.effect_noise((1400, 1400), 90).convert("RGB").save(noise, "PNG")
    heavy = noise.getvalue()
    assert len(heavy) > 1_000_000

    def send(to, size, page="/staff/campaigns"):
        token = Page(client.get(page)).value("csrf_token")
        form = f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n'
        file = '--x\r\nContent-Disposition: form-data; name="picture"; filename="x.png"\r\n\r\n'
        body = (form + file).encode() + heavy + bytes(size) + b"\r\n--x--\r\n"
        kind = "multipart/form-data; boundary=x"
        with client.post(to, data=body, headers=JSON, content_type=kind) as answer:
            return answer.status_code

    assert (send(path, 0), send(path, 10_000_000), send("/staff/campaigns/new", 0)) == (200, 413, 413)
    log_out()
    assert send(path, 0, page="/staff/login") == 302


# --- previews --------------------------------------------------------------------------------------


def test_the_preview_is_the_mail_with_its_styles_and_nothing_that_runs(client, save, campaign):
    save(body="# Uutta\n\n[Lue](https://kirja.example/)")

    answer = client.get(f"/staff/campaigns/{campaign.id}/preview/fi")

    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-same-origin allow-popups")
    assert "allow-scripts" not in policy
    assert "default-src 'none'; style-src 'unsafe-inline';" in policy
    assert policy.endswith("frame-ancestors 'self'")
    assert "X-Frame-Options" not in answer.headers
    assert 'style="' in answer.text
    assert "mark.invalid" not in answer.text


def test_the_text_part_and_the_source_are_plain_text(client, save, campaign):
    save(body="<script>alert(1)</script>")

    for path in ("preview/fi?part=text", "raw/fi"):
        answer = client.get(f"/staff/campaigns/{campaign.id}/{path}")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Content-Security-Policy"].startswith("sandbox ")
    assert answer.text.startswith("From: Kirjakauppa Oy <uutiset@kirjakauppa.example>\r\n")


def test_only_the_preview_may_have_styles_of_its_own(client, writer, campaign):
    page = client.get(f"/staff/campaigns/{campaign.id}/edit")

    assert "unsafe-inline" not in page.headers["Content-Security-Policy"]
    tree = LexborHTMLParser(page.text)
    assert tree.css("[style], style, script:not([src]), [onclick]") == []
    (frame,) = tree.css("iframe")
    assert "allow-scripts" not in frame.attributes["sandbox"]


# --- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_ss2_only_writers_write(client, enter, submit, campaign, role):
    enter(role=role)
    edit = f"/staff/campaigns/{campaign.id}"
    pages = ["/staff/campaigns/new", f"{edit}/edit", f"{edit}/preview/fi", f"{edit}/raw/fi", f"{edit}/send"]

    seen = {client.get(page).status_code for page in pages}
    links = LexborHTMLParser(client.get("/staff/campaigns").text).css('a[href="/staff/campaigns/new"]')

    assert (seen, len(links)) == (({200}, 1) if role in WRITERS else ({403}, 0))
    changes = {
        "edit/fi": {"version": "1", "subject": "x"},
        "editions": {"language": "en"},
        "editions/fi/remove": {},
        "lists": {"lists": "suomeksi"},
        "duplicate": {},
        "pictures/fi": {},
    }
    statuses = {
        submit("/staff/campaigns", to=f"{edit}/{path}", **fields).status_code
        for path, fields in changes.items()
    }
    assert (403 in statuses) == (role not in WRITERS)
    if role not in WRITERS:
        assert statuses == {403}


@pytest.mark.parametrize("path", ["new", "{id}/edit", "{id}/send", "{id}/preview/fi", "{id}/raw/fi"])
def test_strangers_are_sent_to_the_login(client, campaign, path):
    assert client.get(f"/staff/campaigns/{path.format(id=campaign.id)}").location.startswith("/staff/login")


def test_without_its_token_nothing_is_saved(client, writer, campaign):
    form = {"version": "1", "subject": "Väärä", "body": "Väärä"}

    assert client.post(f"/staff/campaigns/{campaign.id}/edit/fi", data=form).status_code == 400
    assert campaign.editions[0].subject == "Uutiset"


def test_a_page_is_answered_in_its_own_language(client, writer, campaign):
    page = client.get(f"/staff/campaigns/{campaign.id}/edit?lang=en")
    fields = {
        str(item.attributes["name"]): item.attributes["value"]
        for item in LexborHTMLParser(page.text).css("#editor input")
    }

    told = client.post(f"/staff/campaigns/{campaign.id}/edit/fi", data=fields | {"body": "Hei"}, headers=JSON)

    assert told.json["said"].startswith("Saved: ")
