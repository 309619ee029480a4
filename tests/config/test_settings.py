import os
import stat
import subprocess
import sys
import threading

import pytest
from sqlalchemy.engine import make_url

from newsletter.config import Settings, SettingsInvalid, setting_fields
from newsletter.errors import StartRefused
from tests.support.dkim_keys import ed25519_pem
from tests.support.server import ROOT


@pytest.fixture
def load(tmp_path):
    """Load settings from an environment: ``load(MAIL_PORT="26")``."""

    def load_settings(**given):
        environ = {"NEWSLETTER_INSTANCE_PATH": str(tmp_path / "instance")}
        return Settings.load(environ | {f"NEWSLETTER_{name}": text for name, text in given.items()})

    return load_settings


@pytest.fixture
def write_toml(tmp_path):
    def write(text):
        (tmp_path / "instance").mkdir(exist_ok=True)
        (tmp_path / "instance" / "newsletter.toml").write_text(text, encoding="utf-8")

    return write


def test_an_empty_environment_gives_an_embedded_instance(load, tmp_path):
    settings = load()

    assert str(settings.database_url) == f"sqlite:///{tmp_path}/instance/newsletter.db"
    assert settings.base_url == "http://127.0.0.1:8000"
    assert settings.queue == f"sqlite:///{tmp_path}/instance/queue.db"
    assert settings.uses_mailbox


def test_every_problem_is_named_at_once(load):
    with pytest.raises(SettingsInvalid) as refusal:
        load(
            BASE_URL="news.example",
            MAIL_PORT="99999",
            MAIL_USE_TLS="perhaps",
            MAIL_TIMEOUT="0",
            TRACKING="always",
            LANGUAGES="fi,sv",
            TIMEZONE="Mars/Olympus",
            DATABASE_URL="mysql://db.example/news",
            SENDER_NAME="Kirjakauppa\nBcc: everyone@example.com",
        )

    assert str(refusal.value).splitlines() == [
        "NEWSLETTER_DATABASE_URL: give postgresql://… or sqlite:///…",
        "NEWSLETTER_BASE_URL: give an address such as https://news.example",
        "NEWSLETTER_MAIL_PORT: give a whole number from 1 to 65535",
        "NEWSLETTER_MAIL_USE_TLS: say true or false",
        "NEWSLETTER_MAIL_TIMEOUT: give a number of seconds above 0",
        "NEWSLETTER_TIMEZONE: give a time zone such as Europe/Helsinki",
        "NEWSLETTER_LANGUAGES: name at least one of fi, en",
        "NEWSLETTER_TRACKING: choose one of consent, notice, aggregate, off",
        "NEWSLETTER_SENDER_NAME: keep it on one line",
    ]


def test_an_unknown_name_suggests_the_nearest_one(load):
    with pytest.raises(SettingsInvalid) as refusal:
        load(MAIL_SEVRER="mail.example")

    assert str(refusal.value) == (
        "NEWSLETTER_MAIL_SEVRER (environment): there is no such setting; did you mean NEWSLETTER_MAIL_SERVER?"
    )


def test_a_name_like_no_other_is_refused_without_a_suggestion(load):
    with pytest.raises(SettingsInvalid) as refusal:
        load(XYZZY="1")

    assert str(refusal.value) == "NEWSLETTER_XYZZY (environment): there is no such setting"


def test_names_of_other_programs_are_none_of_our_business(tmp_path):
    settings = Settings.load({"NEWSLETTER_INSTANCE_PATH": str(tmp_path), "MAIL_PORT": "99999"})

    assert settings.mail_port == 25


def test_an_empty_database_address_is_as_if_it_had_not_been_set(load):
    assert load(DATABASE_URL="") == load()


@pytest.mark.parametrize("text", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_that_processes_cannot_share_is_refused(load, text):
    with pytest.raises(SettingsInvalid) as refusal:
        load(DATABASE_URL=text)

    assert (
        str(refusal.value) == "NEWSLETTER_DATABASE_URL: give the path of a file: several processes share it"
    )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_is_spoken_with_psycopg_3_whatever_the_scheme_says(load, scheme):
    keys = {"SECRET_KEY": "one", "SUPPRESSION_KEY": "two"}

    settings = load(DATABASE_URL=f"{scheme}://news:pass@db.example/news", **keys)

    assert settings.database_url == make_url("postgresql+psycopg://news:pass@db.example/news")


def test_postgresql_without_keys_is_refused_naming_both(load):
    with pytest.raises(SettingsInvalid) as refusal:
        load(DATABASE_URL="postgresql://db.example/news")

    assert str(refusal.value).splitlines() == [
        "NEWSLETTER_SECRET_KEY: missing; with PostgreSQL set it yourself",
        "NEWSLETTER_SUPPRESSION_KEY: missing; with PostgreSQL set it yourself",
    ]


def test_missing_keys_are_named_beside_the_other_problems(load):
    with pytest.raises(SettingsInvalid) as refusal:
        load(DATABASE_URL="postgresql://db.example/news", SECRET_KEY="one", MAIL_PORT="no")

    assert str(refusal.value).splitlines() == [
        "NEWSLETTER_MAIL_PORT: give a whole number from 1 to 65535",
        "NEWSLETTER_SUPPRESSION_KEY: missing; with PostgreSQL set it yourself",
    ]


def test_the_keys_of_an_embedded_instance_are_made_once_and_kept(load, tmp_path):
    first = load()
    second = load()

    assert (first.secret_key, first.suppression_key) == (second.secret_key, second.suppression_key)
    assert first.secret_key != first.suppression_key
    assert len(first.secret_key) == 43


def test_only_the_owner_can_read_the_keys(load, tmp_path):
    load()

    modes = {path.name: stat.filemode(path.stat().st_mode) for path in (tmp_path / "instance").iterdir()}
    assert modes == {"secret_key": "-rw-------", "suppression_key": "-rw-------"}


def test_first_starts_at_the_same_time_agree_on_one_key(load):
    keys = []
    at_once = threading.Barrier(4)

    def start():
        at_once.wait()
        keys.append(load().secret_key)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 4
    assert len(set(keys)) == 1


def test_a_key_from_the_environment_leaves_none_in_the_folder(load, tmp_path):
    settings = load(SECRET_KEY="one", SUPPRESSION_KEY="two")

    assert (settings.secret_key, settings.suppression_key) == ("one", "two")
    assert list((tmp_path / "instance").iterdir()) == []


def test_the_report_masks_every_secret(load):
    settings = load(
        SECRET_KEY="canary-1",
        SUPPRESSION_KEY="canary-2",
        SECRET_KEY_FALLBACKS="canary-3,canary-4",
        MAIL_PASSWORD="canary-5",
        QUEUE_URL="redis://:canary-6@redis.example",
        DATABASE_URL="postgresql://news:canary-7@db.example/news",
    )

    report = {name: (text, source) for name, text, source in settings.report()}

    assert "canary" not in str(report)
    assert report["NEWSLETTER_SECRET_KEY"] == ("********", "environment")
    assert report["NEWSLETTER_DATABASE_URL"] == (
        "postgresql+psycopg://news:***@db.example/news",
        "environment",
    )


def test_the_report_says_where_each_value_came_from(load, write_toml):
    write_toml('sender_name = "Kirjakauppa Oy"\n')

    report = {name: (text, source) for name, text, source in load(MAIL_PORT="26").report()}

    assert report["NEWSLETTER_MAIL_PORT"] == ("26", "environment")
    assert report["NEWSLETTER_SENDER_NAME"] == ("Kirjakauppa Oy", "newsletter.toml")
    assert report["NEWSLETTER_SECRET_KEY"] == ("********", "instance folder")
    assert report["NEWSLETTER_MAIL_PASSWORD"] == ("", "default")
    assert report["NEWSLETTER_LANGUAGES"] == ("fi,en", "default")


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(load, write_toml):
    write_toml('mail_port = 587\nmail_timeout = 9\nmail_use_tls = true\nlanguages = ["en", "fi"]\n')

    settings = load(MAIL_PORT="26")

    assert (settings.mail_port, settings.mail_timeout) == (26, 9.0)
    assert (settings.mail_use_tls, settings.languages) == (True, ("en", "fi"))
    assert settings.mail_use_ssl is False


def test_an_empty_value_in_the_environment_goes_before_the_file(load, write_toml):
    write_toml('mail_server = "mail.example"\n')

    assert load(MAIL_SERVER="").uses_mailbox


def test_a_mistake_in_the_file_is_named_with_the_file(load, write_toml):
    write_toml('mail_prot = 587\nmail_port = "many"\n')

    with pytest.raises(SettingsInvalid) as refusal:
        load()

    assert str(refusal.value).splitlines() == [
        "NEWSLETTER_MAIL_PROT (newsletter.toml): there is no such setting; did you mean NEWSLETTER_MAIL_PORT?",
        "NEWSLETTER_MAIL_PORT: give a whole number from 1 to 65535",
    ]


def test_a_file_that_is_not_toml_is_refused(load, write_toml):
    write_toml("mail_port 587\n")

    with pytest.raises(SettingsInvalid) as refusal:
        load()

    assert str(refusal.value).startswith("newsletter.toml: cannot be read: Expected '='")


def test_an_instance_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(StartRefused) as refusal:
        Settings.load({"NEWSLETTER_INSTANCE_PATH": f"{tmp_path}/file/instance"})

    assert str(refusal.value) == (
        f"The instance folder {tmp_path}/file/instance cannot be made: Not a directory."
    )


def test_an_instance_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "instance").touch()

    with pytest.raises(StartRefused) as refusal:
        Settings.load({"NEWSLETTER_INSTANCE_PATH": f"{tmp_path}/instance"})

    assert str(refusal.value) == f"The instance folder {tmp_path}/instance cannot be made: File exists."


def test_an_instance_folder_that_takes_no_files_is_refused():
    with pytest.raises(StartRefused) as refusal:
        Settings.load({"NEWSLETTER_INSTANCE_PATH": "/proc"})  # takes none from root either

    assert str(refusal.value) == "The instance folder /proc cannot be written to."


def test_a_setting_that_cannot_be_used_ends_the_program_with_2(tmp_path):
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NEWSLETTER_INSTANCE_PATH": str(tmp_path),
        "NEWSLETTER_MAIL_PORT": "0",
    }

    command = [sys.executable, "-m", "newsletter", "doctor"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: NEWSLETTER_MAIL_PORT: give a whole number from 1 to 65535\n"


def test_passkeys_need_their_package(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "webauthn", None)

    with pytest.raises(SettingsInvalid) as refusal:
        load(PASSKEYS="true", BASE_URL="https://news.example")

    assert str(refusal.value) == (
        "NEWSLETTER_PASSKEYS: a package is missing; pip install 'newsletter[passkeys]'"
    )


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "https://192.0.2.7", "https://[::1]", "http://news.example"]
)
def test_passkeys_need_an_address_that_browsers_make_them_for(load, url):
    with pytest.raises(SettingsInvalid) as refusal:
        load(PASSKEYS="true", BASE_URL=url)

    assert str(refusal.value) == (
        "NEWSLETTER_PASSKEYS: browsers make passkeys for names, over https or at localhost;"
        " set NEWSLETTER_BASE_URL to such an address"
    )


@pytest.mark.parametrize("url", ["https://news.example", "http://localhost:8000"])
def test_passkeys_may_be_on_at_a_name(load, url):
    assert load(PASSKEYS="true", BASE_URL=url).passkeys


# --- OpenID Connect ----------------------------------------------------------------------------------


def test_openid_needs_its_packages_and_a_client(load, monkeypatch):
    monkeypatch.setattr("newsletter.config.validation.find_spec", lambda _name: None)

    with pytest.raises(SettingsInvalid) as refusal:
        load(OIDC_ISSUER="https://id.kirjakauppa.example")

    assert str(refusal.value).splitlines() == [
        "NEWSLETTER_OIDC_ISSUER: a package is missing; pip install 'newsletter[oidc]'",
        "NEWSLETTER_OIDC_CLIENT_ID: missing; the provider gives it when you enter this site there",
    ]


@pytest.mark.parametrize("issuer", ["http://id.kirjakauppa.example", "id.kirjakauppa.example", "https://"])
def test_an_issuer_is_an_address_with_https(load, issuer):
    with pytest.raises(SettingsInvalid, match="OIDC_ISSUER"):
        load(OIDC_ISSUER=issuer, OIDC_CLIENT_ID="uutiskirje")


def test_the_last_slash_of_an_issuer_stays(load):
    loaded = load(OIDC_ISSUER="https://id.kirjakauppa.example/", OIDC_CLIENT_ID="uutiskirje")

    assert loaded.oidc_issuer == "https://id.kirjakauppa.example/"


# --- secrets from files ------------------------------------------------------------------------------

SECRETS = [item.name.upper() for item in setting_fields() if item.metadata["secret"]]


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_may_be_given_as_a_file(load, tmp_path, name):
    given = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/somewhere.db",
        "SECRET_KEY_FALLBACKS": "older,oldest",
        "DKIM_KEY": ed25519_pem(),
    }
    text = given.get(name, "hunter2 ä")
    more = {"DKIM_SELECTOR": "news"} if name == "DKIM_KEY" else {}
    (tmp_path / "secret").write_text(text + "\n", encoding="utf-8")

    from_file = load(**{f"{name}_FILE": str(tmp_path / "secret")}, **more)

    assert getattr(from_file, name.lower()) == getattr(load(**{name: text}, **more), name.lower())
    assert from_file.sources[name.lower()] == f"environment: {tmp_path / 'secret'}"


def test_every_file_that_gives_no_secret_is_named_at_once(load, tmp_path):
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")

    with pytest.raises(SettingsInvalid) as refusal:
        load(
            SECRET_KEY_FILE=str(tmp_path / "none"),
            MAIL_PASSWORD_FILE=str(tmp_path / "empty"),
            HOOK_KEY_FILE=str(tmp_path / "bytes"),
            SUPPRESSION_KEY="one",
            SUPPRESSION_KEY_FILE=str(tmp_path / "bytes"),
            BASE_URL_FILE=str(tmp_path / "bytes"),
            SECRET_KYE_FILE="/run/secret",
        )

    assert str(refusal.value).splitlines() == [
        f"NEWSLETTER_SECRET_KEY_FILE (environment): {tmp_path}/none cannot be read: No such file or directory",
        f"NEWSLETTER_MAIL_PASSWORD_FILE (environment): {tmp_path}/empty is empty",
        f"NEWSLETTER_HOOK_KEY_FILE (environment): {tmp_path}/bytes is no text",
        "NEWSLETTER_SUPPRESSION_KEY_FILE (environment): set either this or NEWSLETTER_SUPPRESSION_KEY, not both",
        "NEWSLETTER_BASE_URL_FILE (environment): only secrets come from files; set NEWSLETTER_BASE_URL",
        "NEWSLETTER_SECRET_KYE_FILE (environment): there is no such setting;"
        " did you mean NEWSLETTER_SECRET_KEY?",
    ]


def test_a_file_named_in_the_environment_goes_before_the_settings_file(load, write_toml, tmp_path):
    (tmp_path / "secret").write_text("from the file")
    write_toml('mail_password = "from toml"\nhook_key_file = "' + str(tmp_path / "secret") + '"')

    loaded = load(MAIL_PASSWORD_FILE=str(tmp_path / "secret"))

    assert (loaded.mail_password, loaded.hook_key) == ("from the file", "from the file")


def test_an_empty_name_of_a_file_is_as_if_it_had_not_been_set(load):
    assert load(MAIL_PASSWORD="hunter2", MAIL_PASSWORD_FILE="").mail_password == "hunter2"
