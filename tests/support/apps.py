"""Applications for tests: made, bound to one connection, cleaned between two tests, closed."""

import contextvars
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from sqlalchemy.engine import URL

from newsletter import create_app
from newsletter.config import PREFIX, Settings
from newsletter.db import db
from newsletter.mail.backends import mailbox_folder
from newsletter.ratelimit import limiter
from newsletter.subscribers.signup import queue as signup_queue
from newsletter.wakeups import queue
from tests.support.gateway import gateway_of

Result = TypeVar("Result")

#: What the tests take for granted; every test may say otherwise.
DEFAULTS = {
    "SECRET_KEY": "the secret key of the tests",
    "SUPPRESSION_KEY": "the suppression key of the tests",
    "QUEUE_URL": "memory://",
    "MAIL_CONNECTIONS": "1",  # campaigns are then sent in the calling thread
    "SIGNUP_LIMIT_IP": "1000000/minute",
    "SIGNUP_LIMIT_ADDRESS": "1000000/minute",
    "SIGNUP_LIMIT_DOMAIN": "1000000/minute",
    "SIGNUP_BREAKER": "1000000/minute",
    "SENDER_NAME": "Kirjakauppa Oy",
    "SENDER_ADDRESS": "uutiset@kirjakauppa.example",
    "SENDER_POSTAL": "Katu 1, 00100 Helsinki",
    "SENDER_BUSINESS_ID": "1234567-8",
    "PRIVACY_CONTACT": "tietosuoja@kirjakauppa.example",
}


class _Templates(BytecodeCache):
    """What this process has compiled of the templates: its many applications all have the same."""

    def __init__(self) -> None:
        self._codes: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._codes:
            bucket.bytecode_from_string(self._codes[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key] = bucket.bytecode_to_string()


_TEMPLATES = _Templates()


def load_settings(instance: Path, **settings: object) -> Settings:
    """Return the settings of tests, with those named in lower case instead of the usual ones."""
    given = DEFAULTS | {name.upper(): _text(value) for name, value in settings.items()}
    environ = {"INSTANCE_PATH": str(instance), **given}
    return Settings.load({PREFIX + name: text for name, text in environ.items()})


@contextmanager
def running(instance: Path, **settings: object) -> Iterator[Flask]:
    """Make an application, and let go of what it holds at the end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    app = create_app(load_settings(instance, **settings))
    root.handlers[:], root.level = handlers, level  # pytest's own handlers, for caplog
    app.jinja_env.bytecode_cache = _TEMPLATES
    # Slow by design, a quarter of a second each; test_passwords holds what it costs in real use.
    app.extensions["security"].pwd_context.update(argon2__time_cost=1, argon2__memory_cost=64)
    try:
        yield app
    finally:
        empty(app)
        queue(app).storage.close()
        with app.app_context():
            counts: Any = vars(limiter.storage()).get("_local")
            if hasattr(counts, "connection"):
                counts.connection.close()
            db.engine.dispose()


@contextmanager
def rolled_back(app: Flask) -> Iterator[None]:
    """Let every session use one connection, whose transaction is never committed.

    A commit in the product releases a savepoint; a rollback goes back to it.
    """
    with app.app_context():
        engine = db.engine
    with engine.connect() as connection:
        transaction = connection.begin()
        db.session.session_factory.configure(bind=connection, join_transaction_mode="create_savepoint")
        try:
            yield
        finally:
            db.session.session_factory.configure(bind=None, join_transaction_mode="conditional_savepoint")
            transaction.rollback()


def clean(app: Flask) -> None:
    """Forget what a test left outside the database, and open the door to everybody again."""
    empty(app)
    app.config["NEWSLETTER"].journal_path.unlink(missing_ok=True)
    with app.app_context():
        if limiter.storage().check():
            limiter.storage().reset()
    app.extensions["newsletter.limits.spare"].reset()


def empty(app: Flask) -> None:
    """Forget mails, hits, signups and wake-ups."""
    app.extensions["newsletter.looks"].drain()
    gateway = gateway_of(app)
    gateway.spool.close()
    gateway._targets.clear()
    gateway.spool.lost = 0
    app.extensions["newsletter.intake"].close()
    app.extensions.pop("newsletter.list_ids", None)
    instance = Path(app.instance_path)
    if instance.is_dir():
        (instance / "hits_lost").write_bytes(bytes(8))
    for folder in ("spool", "intake"):
        shutil.rmtree(instance / folder, ignore_errors=True)
    shutil.rmtree(mailbox_folder(app.config["NEWSLETTER"]), ignore_errors=True)
    if app.config["NEWSLETTER"].queue_url == "memory://":
        queue(app).flush()


def on_its_own(app: Flask, function: Callable[..., Result], *args: Any) -> Result:
    """Call a function as another process would: with a session of its own, after our commit.

    What we hold of the database is read again when we next look at it.
    """
    db.session.commit()
    try:
        return contextvars.Context().run(_in_context, app, function, *args)
    finally:
        db.session.expire_all()


def at_once(app: Flask, *functions: Callable[[], Any]) -> list[Any]:
    """Call functions at the same time, each in a thread and a session of its own; for ``real_app``.

    Returns in their order what each returned, or the exception it raised.
    """
    db.session.commit()
    together = threading.Barrier(len(functions))

    def call(function: Callable[[], Any]) -> Any:
        with app.app_context():
            together.wait(10)
            try:
                return function()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                return error

    try:
        with ThreadPoolExecutor(len(functions)) as pool:
            return list(pool.map(call, functions))
    finally:
        db.session.expire_all()


class Client(FlaskClient):
    """A browser without scripts: each request has a context and a session of its own."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """Send a request."""
        db.session.commit()
        kwargs.setdefault("buffered", True)  # what is streamed belongs to the context it was begun in
        try:
            return contextvars.Context().run(super().open, *args, **kwargs)
        finally:
            contextvars.Context().run(
                _in_context, self.application, signup_queue.load_queued
            )  # as a loader would
            db.session.expire_all()


def _in_context(app: Flask, function: Callable[..., Result], *args: Any) -> Result:
    with app.app_context():
        return function(*args)


def _text(value: object) -> str:
    if isinstance(value, URL):
        return value.render_as_string(hide_password=False)
    return str(value)
