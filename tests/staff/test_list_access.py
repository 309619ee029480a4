"""SS-2: who is limited to lists finds nothing of the others, at any endpoint of the table."""

import pytest
import sqlalchemy as sa

from newsletter.campaigns.models import Campaign, CampaignStatus
from newsletter.db import db
from newsletter.ledger.audit import AuditEntry
from newsletter.staff.accounts import change_role
from newsletter.staff.list_access import list_choices
from newsletter.staff.matrix import EVERYBODY, matrix_rows
from newsletter.staff.models import LIMITABLE_ROLES, Role, Staff, StaffInvitation
from tests.staff.test_matrix import fill, judge
from tests.subscribers.pages import Page
from tests.support.clock import NOW

LEVELS = sorted(role.value for role in LIMITABLE_ROLES)
#: What they must not meet anywhere.
FOREIGN = ("Salainen", "salainen")


@pytest.fixture
def engine(request) -> str:
    return getattr(request, "param", "sqlite")  # but for one, who may go where does not depend on it


@pytest.fixture
def lists(make_list):
    return [make_list("oma", "Oma uutiskirje"), make_list("salainen", "Salainen uutiskirje")]


@pytest.fixture
def campaigns(lists, make_campaign) -> dict[str, Campaign]:
    """One of each kind that there is for somebody limited to the first list; all of them sent."""
    own, foreign = lists
    made = {
        "own": make_campaign([own], subject="Omat uutiset"),
        "foreign": make_campaign([foreign], subject="Salainen asia"),
        "both": make_campaign([own, foreign], subject="Salainen yhteinen"),
    }
    for campaign in made.values():
        campaign.status, campaign.started_at, campaign.finished_at = CampaignStatus.SENT, NOW, NOW
    db.session.commit()
    return made


@pytest.fixture
def limited(enter, lists):
    """Be somebody limited to the first list."""
    return lambda level: enter(role=Role(level), lists=["oma"])


def address(path: str, campaign: Campaign, slug: str) -> str:
    return fill(
        path.replace("<int:campaign_id>", str(campaign.id))
        .replace("<slug>", slug)
        .replace("<language>", "fi")
    )


def ask(client, method: str, path: str, token: str, **fields: object):
    return client.open(path, method=method, data={"csrf_token": token} | fields if method == "POST" else None)


@pytest.mark.parametrize("level", LEVELS)
def test_the_crawl_finds_exactly_the_table(app, client, limited, campaigns, level):
    limited(level)
    token = str(Page(client.get("/staff/account/")).value("csrf_token"))
    wrong = {}
    for row in matrix_rows(app):
        if row.path == "/staff/logout":
            continue  # it would end the crawl
        path = address(row.path, campaigns["own"], "oma")
        is_open = EVERYBODY in row.levels or (level in row.levels and row.by_list)
        answer = judge(ask(client, row.method, path, token), set(row.levels))
        if answer != ("in" if is_open else "refused"):
            wrong[row.method, row.path] = answer

    assert wrong == {}


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("level", LEVELS)
def test_what_belongs_to_another_list_is_not_there(app, client, limited, campaigns, level):
    limited(level)
    token = str(Page(client.get("/staff/account/")).value("csrf_token"))
    before = db.session.execute(sa.select(Campaign.id, Campaign.status).order_by(Campaign.id)).all()
    found, asked = {}, 0
    for row in matrix_rows(app):
        if level not in row.levels or not ("<int:campaign_id>" in row.path or "<slug>" in row.path):
            continue
        for kind in ("foreign", "both"):
            asked += 1
            path = address(row.path, campaigns[kind], "salainen")
            answer = ask(client, row.method, path, token, lists="oma", subject="x", body="x", version="1")
            if answer.status_code != 404 or any(word in answer.text for word in FOREIGN[:1]):
                found[row.method, path] = answer.status_code

    assert (found, asked >= 6) == ({}, True)
    after = db.session.execute(sa.select(Campaign.id, Campaign.status).order_by(Campaign.id)).all()
    assert after == before


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("level", LEVELS)
def test_no_page_names_another_list_or_its_campaigns(app, client, limited, campaigns, level):
    limited(level)
    queries = ("", f"?with={campaigns['foreign'].id}", "?with=list-2", "?list=salainen", "?lists=salainen")
    told, asked = {}, 0
    for row in matrix_rows(app):
        if row.method != "GET" or level not in row.levels or not row.by_list:
            continue
        for query in queries:
            answer = client.get(address(row.path, campaigns["own"], "oma") + query)
            asked += answer.status_code == 200
            if any(
                word in answer.text.replace("salainen%20", "").replace(query[1:] or "\0", "")
                for word in FOREIGN
            ):
                told[row.path + query] = answer.status_code

    assert (told, asked > 40) == ({}, True)


def test_a_campaign_is_written_for_own_lists_alone(client, limited, submit, campaigns):
    limited("editor")
    number = campaigns["own"].id

    begun = submit("/staff/campaigns/new", subject="Uusi", lists="salainen")
    moved = submit("/staff/campaigns/new", to=f"/staff/campaigns/{number}/lists", lists="salainen")

    assert (begun.status_code, moved.status_code) == (404, 404)
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Campaign)) == 3
    assert submit("/staff/campaigns/new", subject="Uusi", lists="oma").status_code == 303


def test_the_menu_shows_only_what_is_open(client, limited, lists):
    limited("sender")
    unlimited = ["/staff/mails"]

    menu = [link.split("?")[0] for link in Page(client.get("/staff/campaigns")).links("nav.menu a")]

    assert "/staff/campaigns" in menu
    assert not set(menu) & set(unlimited)


# --- giving and taking ------------------------------------------------------------------------------


@pytest.fixture
def kalle(make_staff):
    return make_staff("kalle@kirjakauppa.example", Role.EDITOR)


@pytest.fixture
def choose(enter, kalle, submit, lists):
    """Be an administrator, and choose Kalle's lists."""
    enter(role=Role.ADMIN)
    return lambda **fields: submit(
        f"/staff/accounts/{kalle.id}", to=f"/staff/accounts/{kalle.id}/lists", **fields
    )


def test_an_administrator_limits_and_frees_an_account(choose, kalle):
    assert choose(reach="some", lists="oma").status_code == 303
    assert kalle.lists == ["oma"]
    choose(reach="all", lists="oma")

    assert kalle.lists is None
    entries = db.session.scalars(
        sa.select(AuditEntry).where(AuditEntry.action == "staff lists changed").order_by(AuditEntry.id)
    )
    assert [entry.details for entry in entries] == [
        {"before": "all", "after": ["oma"]},
        {"before": ["oma"], "after": "all"},
    ]


def test_a_new_limit_counts_at_once(client, choose, kalle):
    key = kalle.fs_uniquifier

    choose(reach="some", lists="oma")

    assert kalle.fs_uniquifier != key  # every session of his has ended


@pytest.mark.parametrize("fields", [{}, {"lists": "tuntematon"}])
def test_limited_to_nothing_is_refused(choose, kalle, fields):
    page = Page(choose(reach="some", **fields))

    assert (page.status, page.summary) == (422, [("#reach-some", "Valitse vähintään yksi lista.")])
    assert kalle.lists is None


@pytest.mark.parametrize("level", ["privacy", "admin"])
def test_who_answers_for_people_cannot_be_limited(choose, kalle, submit, now, level):
    choose(reach="some", lists="oma")

    change_role(kalle, Role(level), now=now, actor="console")
    db.session.commit()

    assert kalle.lists is None
    assert choose(reach="some", lists="oma").status_code == 422
    page = Page(
        submit("/staff/accounts/", address="k@kirjakauppa.example", role=level, reach="some", lists="oma")
    )
    assert page.summary == [
        ("#reach-some", "Vain katselijan, kirjoittajan ja lähettäjän voi rajata listoihin.")
    ]


def test_an_invitation_limits_the_account_that_it_makes(app, enter, submit, lists, send_due, outgoing):
    enter(role=Role.ADMIN)

    submit("/staff/accounts/", address="kalle@kirjakauppa.example", role="editor", reach="some", lists="oma")

    assert db.session.scalars(sa.select(StaffInvitation.lists)).all() == [["oma"]]
    send_due()
    (link,) = [
        word for word in outgoing.last.get_body(("plain",)).get_content().split() if "/staff/first/" in word
    ]
    path = link[link.index("/staff/") :]
    other = app.test_client()
    token = Page(other.get(path)).value("csrf_token")
    other.post(path, data={"csrf_token": token, "password": "neljä sanaa riviin"})
    made = db.session.scalars(sa.select(Staff).where(Staff.email == "kalle@kirjakauppa.example")).one()
    assert (made.role, made.lists) == (Role.EDITOR, ["oma"])


def test_the_lists_to_choose_from_are_those_there_are(lists):
    assert list_choices() == [("oma", "Oma uutiskirje"), ("salainen", "Salainen uutiskirje")]
