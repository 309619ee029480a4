"""From the form to the purge: a reader at her desk and on her phone, the sender at the command line."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, Route, expect

from tests.support.server import LiveServer

READER = "meri@kotiposti.example"
SHOP = "https://www.kirjakauppa.example/uutiset"


@dataclass(frozen=True, slots=True)
class World:
    """The program, three browsers that know nothing of each other, and what is done all the time."""

    server: LiveServer
    desk: Page
    phone: Page
    staff: Page
    look: Callable[[Page, str], None]
    open_mail: Callable[[Page, LiveServer, str], None]

    @property
    def mail(self) -> FrameLocator:
        """The mail that is open at the desk, as its reader sees it."""
        return self.desk.frame_locator("iframe")

    def follow(self, link: Locator) -> Page:
        """Follow a link of a mail, which opens a page of its own."""
        with self.desk.expect_popup() as popup:
            link.click()
        return popup.value

    def newsletter(self, *arguments: str) -> Any:
        """Run a command and return its report."""
        return json.loads(self.server.newsletter(*arguments, "--json"))


@pytest.fixture
def world(live_server, page, new_context, look, open_mail) -> World:
    phone, staff = new_context(), new_context()
    return World(live_server, page, phone.new_page(), staff.new_page(), look, open_mail)


@pytest.mark.timeout(300)
def test_a_reader_comes_reads_leaves_and_is_forgotten(world, tmp_path):
    subscribe(world)
    confirm_on_the_phone(world)
    leave_the_english_list(world)
    campaign = write_and_send(world, tmp_path / "kirje.md")
    read(world)
    figures = see_the_figures(world, campaign)
    last_page = leave(world)
    forget(world, campaign, figures)

    last_page.reload()
    world.look(last_page, "Et ole listalla")


def subscribe(world: World) -> None:
    """Fill the form in after a first press too early."""
    desk = world.desk
    desk.goto(world.server.url)
    world.look(desk, "Tilaa uutiskirje")
    desk.get_by_role("button", name="Tilaa").click()
    world.look(desk, "Tilaa uutiskirje")
    desk.get_by_role("link", name="Anna sähköpostiosoite muodossa nimi@esimerkki.fi.").click()
    desk.keyboard.type(READER, delay=100)  # the form trusts nobody who is much faster
    for label in ("Suomenkielinen uutiskirje", "Newsletter in English", "Haluan tilata", "Sallin avausten"):
        desk.get_by_label(re.compile(label)).check()
    desk.get_by_role("button", name="Tilaa").click()
    world.look(desk, "Tarkista sähköpostisi")


def confirm_on_the_phone(world: World) -> None:
    """Carry the link to a browser that is not the one that signed up: it asks for one press."""
    world.open_mail(world.desk, world.server, "Vahvista uutiskirjeen tilaus")
    world.look(world.desk, "Vahvista uutiskirjeen tilaus")
    world.phone.goto(world.desk.locator("pre a").filter(has_text="/confirm/").inner_text())
    world.look(world.phone, "Vahvista tilaus")
    world.phone.get_by_role("button", name="Vahvista tilaus").click()
    world.look(world.phone, "Tilauksesi on vahvistettu.")


def leave_the_english_list(world: World) -> None:
    """Open the own details from the mail that says welcome."""
    world.open_mail(world.desk, world.server, "Tilauksesi on vahvistettu")
    details = world.follow(world.mail.get_by_role("link", name="Omat tilaustiedot"))
    world.look(details, "Omat tilaustiedot")
    details.get_by_label("Newsletter in English").uncheck()
    details.get_by_role("button", name="Tallenna muutokset").click()
    expect(details.get_by_text("Muutokset on tallennettu.")).to_be_visible()
    world.look(details, "Omat tilaustiedot")


def write_and_send(world: World, letter: Path) -> str:
    """Send a newsletter from the command line and return its number."""
    letter.write_text(f"# Syksyn kirjat\n\nHei!\n\n[Lue lisää]({SHOP})\n", encoding="utf-8")
    words = ("--list", "suomeksi", "--subject", "Syksyn kirjat", "--body", str(letter))
    campaign = str(world.newsletter("campaigns", "create", *words)["id"])
    assert world.newsletter("campaigns", "send", campaign)["recipients"] == 1
    return campaign


def read(world: World) -> None:
    """Read it as HTML and as text: its picture loads, its link leads to the shop by way of us."""
    with world.desk.expect_response(re.compile("/o/")) as picture:
        world.open_mail(world.desk, world.server, "Syksyn kirjat")
    assert (picture.value.status, picture.value.header_value("content-type")) == (200, "image/gif")
    world.look(world.desk, "Syksyn kirjat")
    expect(world.mail.get_by_role("heading", name="Syksyn kirjat")).to_be_visible()
    expect(world.desk.locator("pre")).to_contain_text("Hei!")

    led_to = []

    def arrive(route: Route) -> None:
        answer = route.fetch(max_redirects=0)
        led_to.append((answer.status, answer.headers["location"]))
        route.fulfill(body="<h1>Kirjakauppa</h1>", content_type="text/html")

    world.desk.context.route(re.compile("/c/"), arrive)
    shop = world.follow(world.mail.get_by_role("link", name="Lue lisää"))
    expect(shop.locator("h1")).to_have_text("Kirjakauppa")
    assert led_to == [(302, SHOP)]


def see_the_figures(world: World, campaign: str) -> dict[str, Any]:
    """Make the first account by the link that works once, and see what became of the newsletter."""
    staff = world.staff
    (invitation,) = re.findall(r"http\S+/staff/first/\S+", world.server.log)
    staff.goto(invitation)
    world.look(staff, "Luo käyttäjätunnus")
    staff.get_by_label("Sähköpostiosoite").fill("anna@kirjakauppa.example")
    staff.get_by_label("Salasana").fill("neljä sanaa riviin")
    staff.get_by_role("button", name="Luo käyttäjätunnus").click()
    world.look(staff, "Kampanjat")
    staff.get_by_role("link", name="Syksyn kirjat").click()
    clicked = staff.get_by_role("row", name=re.compile("^Klikattu 1 100"))
    for _second in range(20):  # a hit is folded into the figures within seconds
        if clicked.count():
            break
        staff.wait_for_timeout(1000)
        staff.reload()
    world.look(staff, "Syksyn kirjat")
    expect(clicked).to_be_visible()
    expect(staff.get_by_role("row", name=re.compile("^Avattu 1 100"))).to_be_visible()

    figures: dict[str, Any] = world.newsletter("campaigns", "stats", campaign)
    assert (figures["recipients"], figures["accepted"], figures["measured"]) == (1, 1, 1)
    assert figures["opens"] == {"human": 1, "machine": 0, "unique_human": 1}
    assert figures["links"] == [{"url": SHOP, "human": 1, "machine": 0, "unique_human": 1}]
    assert [hit["kind"] for hit in figures["recent"]] == ["click", "open"]
    return figures


def leave(world: World) -> Page:
    """Leave by the link of the newsletter that is still open, and return the last page."""
    leaving = world.follow(world.mail.get_by_role("link", name="Poistu uutiskirjeeltä"))
    world.look(leaving, "Haluatko poistua uutiskirjeeltä?")
    question = leaving.url
    leaving.get_by_role("button", name="Poistu kaikilta listoilta").click()
    world.look(leaving, "Olet poistunut uutiskirjeeltä.")
    leaving.goto(question)
    return leaving


def forget(world: World, campaign: str, figures: dict[str, Any]) -> None:
    """Purge: the person, her mails and the raw records go, to the byte; the totals stay."""
    purged = world.newsletter("privacy", "purge", "--any-day")
    assert (purged["people"], purged["deliveries"], purged["events"]) == (1, 1, 2)
    with pytest.raises(subprocess.CalledProcessError):
        world.newsletter("subscribers", "show", READER)
    kept = world.newsletter("campaigns", "stats", campaign)
    assert kept == figures | {"recent": [], "unsubscribed": 1, "as_of": kept["as_of"]}
    files = [path for path in world.server.instance.rglob("*") if path.is_file()]
    assert [path.name for path in files if READER.encode() in path.read_bytes()] == []
