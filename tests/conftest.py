"""What every test may ask for. A fixture used by one file stays in that file."""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import time_machine
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page
from sqlalchemy.engine import URL, make_url

from newsletter.campaigns.drafts import create_campaign
from newsletter.campaigns.models import Campaign
from newsletter.db import db
from newsletter.mail import outbox
from newsletter.mail.backends import mailbox_folder
from newsletter.running import migrations
from newsletter.sending.worker import deliver
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import (
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    TrackingState,
)
from tests.support.apps import Client, clean, on_its_own, rolled_back, running
from tests.support.clock import NOW
from tests.support.mailbox import Mailbox
from tests.support.missing import lacking
from tests.support.names import NameServer
from tests.support.postgres import Postgres, clear_away, folder_of_this_run, left_behind
from tests.support.server import LiveServer
from tests.support.smtp import SmtpServer

# A machine that runs all tests at once is slow at each of them; hypothesis is to judge answers alone.
hypothesis.settings.register_profile("untimed", parent=hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("untimed")

ENGINES = ("sqlite", "postgresql")
#: The rooms of the longest tests.
LONG = {"journeys", "chaos"}
POSTGRES_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", {}).get("postgres_folder")
    config.stash[POSTGRES_FOLDER] = Path(given) if given else folder_of_this_run()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist where the server of this run is."""
    node.workerinput["postgres_folder"] = str(node.config.stash[POSTGRES_FOLDER])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Take one more than there are processors: while a test waits for a process or a browser, another works."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that no worker is alone with one at the end; else leave the order to chance."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)


def pytest_collection_finish() -> None:
    """Spare the collector what stays until the end: modules and tests, which are most of the memory."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        for folder in (config.stash[POSTGRES_FOLDER], *left_behind()):
            clear_away(folder)


# --- time ------------------------------------------------------------------------------------------


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Stop the clock at ``now``; ``clock.shift(timedelta(days=8))`` moves it."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


# --- applications and their databases --------------------------------------------------------------


@pytest.fixture(params=ENGINES)
def engine(request) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    with running(folder) as app, app.app_context():
        migrations.upgrade()
    return folder / "newsletter.db"


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config, worker_id: str) -> Postgres:
    return Postgres(pytestconfig.stash[POSTGRES_FOLDER], worker_id)


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> URL:
    """A migrated database, to be copied."""
    url = postgres.create()
    with running(tmp_path_factory.mktemp("template"), database_url=url) as app, app.app_context():
        migrations.upgrade()
    return url


@pytest.fixture(scope="session")
def sqlite_app(sqlite_template, tmp_path_factory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("sqlite")
    shutil.copy(sqlite_template, folder)
    with running(folder) as app:
        yield app


@pytest.fixture(scope="session")
def postgresql_app(postgres, postgres_template, tmp_path_factory) -> Iterator[Flask]:
    url = postgres.create(postgres_template)
    with running(tmp_path_factory.mktemp("postgresql"), database_url=url) as app:
        yield app


@pytest.fixture
def app(request, engine, clock) -> Iterator[Flask]:
    """The application on one engine, its context entered, everything rolled back at the end.

    All sessions share one connection, so code that opens a connection of its own (scrub, clicks,
    migrations), threads and processes need ``real_app``; with that, this is the same application.
    """
    if "real_app" in request.fixturenames:
        yield request.getfixturevalue("real_app")
        return
    app: Flask = request.getfixturevalue(f"{engine}_app")
    with rolled_back(app), app.app_context():
        yield app
    clean(app)


@pytest.fixture
def fresh_database(request, engine, tmp_path) -> Iterator[URL]:
    """A migrated, empty database that no other test has seen, and that commits."""
    if engine == "sqlite":
        path = tmp_path / "newsletter.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield make_url(f"sqlite:///{path}")
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.create(request.getfixturevalue("postgres_template"))
    yield url
    server.drop(url)


@pytest.fixture
def real_app(fresh_database, clock, tmp_path) -> Iterator[Flask]:
    """An application on a database of its own, without a transaction around it.

    On SQLite whoever reads holds the write lock: end the test's own reading with
    ``db.session.rollback()`` before threads or processes write.
    """
    with running(tmp_path, database_url=fresh_database) as app, app.app_context():
        yield app


@pytest.fixture
def make_app(request, tmp_path_factory) -> Iterator[Callable[..., Flask]]:
    """Make an application with other settings: ``make_app(tracking="off")``.

    It works on the database of the test's ``app`` or ``real_app`` when the test asks for one of
    these, else it has an empty SQLite file of its own. Enter its context: ``with app.app_context()``.
    """
    chosen = {}
    if "engine" in request.fixturenames:
        chosen["database_url"] = request.getfixturevalue("app").config["NEWSLETTER"].database_url
    with ExitStack() as stack:

        def make(**settings: object) -> Flask:
            folder = tmp_path_factory.mktemp("app")
            app = stack.enter_context(running(folder, **chosen | settings))
            app.test_client_class = Client
            return app

        yield make


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without scripts; each request has a session of its own, as in the real program."""
    app.test_client_class = Client
    return app.test_client()


# --- what there is in the world --------------------------------------------------------------------


@pytest.fixture
def make_list(app) -> Callable[..., MailingList]:
    numbers = count(1)

    def make(
        slug: str | None = None, name: str | None = None, language: str = "fi", **columns: object
    ) -> MailingList:
        number = next(numbers)
        made = MailingList(
            slug=slug or f"lista-{number}",
            name=name or f"Lista {number}",
            language=language,
            **{"created_at": NOW} | columns,
        )
        db.session.add(made)
        db.session.commit()
        return made

    return make


@pytest.fixture
def make_subscriber(app, make_list) -> Callable[..., Subscriber]:
    """Make a person, confirmed on a list of their own unless the story says otherwise."""
    numbers = count(1)

    def make(
        address: str | None = None,
        lists: list[MailingList] | None = None,
        status: SubscriptionStatus = SubscriptionStatus.CONFIRMED,
        tracking: TrackingState = TrackingState.UNKNOWN,
        **columns: object,
    ) -> Subscriber:
        address = address or f"tilaaja{next(numbers)}@example.com"
        chosen = [make_list()] if lists is None else lists
        usual = {
            "address_key": address.casefold(),
            "address_hash": hash_address(address.casefold()),
            "language": chosen[0].language if chosen else "fi",
            "tracking_chosen_at": None if tracking is TrackingState.UNKNOWN else NOW,
            "created_at": NOW,
        }
        made = Subscriber(
            address=address,
            tracking=tracking,
            subscriptions=[_subscription(mailing_list, status) for mailing_list in chosen],
            **usual | columns,
        )
        db.session.add(made)
        db.session.commit()
        return made

    return make


def _subscription(mailing_list: MailingList, status: SubscriptionStatus) -> Subscription:
    return Subscription(
        mailing_list=mailing_list,
        status=status,
        created_at=NOW,
        confirmed_at=None if status is SubscriptionStatus.PENDING else NOW,
        unsubscribed_at=NOW if status is SubscriptionStatus.UNSUBSCRIBED else None,
    )


@pytest.fixture
def make_campaign(app, make_list) -> Callable[..., Campaign]:
    """Make a draft."""

    def make(
        lists: list[MailingList] | None = None,
        subject: str = "Maaliskuun uutiset",
        body: str = "Hei!\n\n[Lue lisää](https://www.kirjakauppa.example/uutiset)",
        **more: str,
    ) -> Campaign:
        chosen = [make_list()] if lists is None else lists
        made = create_campaign(chosen, subject=subject, body=body, now=NOW, actor="staff:1", **more)
        db.session.commit()
        return made

    return make


# --- mail ------------------------------------------------------------------------------------------


@pytest.fixture
def send_due(app) -> Callable[..., int]:
    """Do what a worker does with everything due: ``send_due()`` returns how many were accepted."""

    def send(through: Flask | None = None) -> int:
        return on_its_own(through or app, lambda: outbox.deliver_due() + deliver.deliver_due())

    return send


@pytest.fixture
def outgoing(app) -> Mailbox:
    """The mails that ``app`` has sent, oldest first: ``outgoing.last``, ``outgoing.to(address)``."""
    return Mailbox(mailbox_folder(app.config["NEWSLETTER"]))


@pytest.fixture
def start_smtp_server() -> Iterator[Callable[..., SmtpServer]]:
    """Start a mail server: ``start_smtp_server(starttls=True)``; see ``smtp_server``."""
    started = []

    def start(**options: bool) -> SmtpServer:
        started.append(SmtpServer(**options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def smtp_server(start_smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    """A mail server to send through (``make_app(**smtp_server.settings)``) that keeps what it gets.

    It can be told to misbehave: ``answer``, ``drop``, ``stall``, ``greylist``, ``stop``.
    """
    return start_smtp_server()


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    """A name server (``make_app(dns_server=name_server.setting)``) that knows its ``zone``."""
    server = NameServer()
    yield server
    server.stop()


# --- the real program, and a browser ---------------------------------------------------------------


@pytest.fixture
def start_server(tmp_path) -> Iterator[Callable[..., LiveServer]]:
    """Start the real thing: ``start_server("web", database_url=...)``; see ``live_server``."""
    started: list[LiveServer] = []

    def start(command: str = "run", **settings: object) -> LiveServer:
        instance = tmp_path / f"instance-{len(started) + 1}"
        started.append(LiveServer(instance, command, **settings))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def live_server(start_server: Callable[..., LiveServer]) -> LiveServer:
    """``newsletter run`` in processes of its own, ready, with an empty instance folder."""
    return start_server()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("There is no chromium here. On Debian: apt install chromium")
    quiet = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
    at_home = ("--disable-background-networking", "--disable-component-update")
    return browser_type_launch_args | {"executable_path": chromium, "args": [*quiet, *at_home]}


@pytest.fixture
def check_accessible() -> Callable[[Page], None]:
    """Hold that axe finds nothing at all on a page."""

    def check(page: Page) -> None:
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]] == []

    return check
