"""Settings: read once, checked at start. Nobody else reads the environment.

A setting comes from ``NEWSLETTER_<NAME>`` in the environment, else from ``newsletter.toml`` in the
instance folder, else from its default. Instead of a secret, ``<NAME>_FILE`` may name the file that holds
it, as systemd and container engines hand secrets over. Everything that is wrong is named at once.
"""

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from flask import current_app
from sqlalchemy.engine import URL, make_url

from newsletter.config import parsers
from newsletter.config.instance import (
    load_base_url,
    load_or_create_key,
    prepare,
    read_secret_file,
    read_settings_file,
)
from newsletter.config.validation import find_conflicts
from newsletter.errors import StartRefused

PREFIX = "NEWSLETTER_"
TRACKING_MODES = ("consent", "notice", "aggregate", "off")
LOG_LEVELS = ("auto", "debug", "info", "warning", "error")
LOG_FORMATS = ("auto", "text", "json", "logfmt")
#: What a name ends in that gives a file instead of the secret itself.
FILE_SUFFIX = "_FILE"
MASK = "********"


class SettingsInvalid(StartRefused):
    """One or more settings cannot be used; the message has a line for each."""


def setting(parse: Callable[[str], Any], default: str | None, *, secret: bool = False) -> Any:  # noqa: ANN401
    """Declare one setting; ``default`` is what its text would be, None that it is worked out."""
    return field(metadata={"parse": parse, "default": default, "secret": secret})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the operator can choose, parsed."""

    instance_path: Path = setting(Path, "instance")
    database_url: URL = setting(parsers.database_url, None, secret=True)
    secret_key: str = setting(parsers.one_line, None, secret=True)
    secret_key_fallbacks: tuple[str, ...] = setting(parsers.comma_separated, "", secret=True)
    suppression_key: str = setting(parsers.one_line, None, secret=True)
    base_url: str = setting(parsers.base_url, None)
    mail_server: str = setting(parsers.server_name, "")
    mail_port: int = setting(parsers.integer(1, 65535), "25")
    mail_use_tls: bool = setting(parsers.boolean, "false")
    mail_use_ssl: bool = setting(parsers.boolean, "false")
    mail_username: str = setting(parsers.one_line, "")
    mail_password: str = setting(parsers.one_line, "", secret=True)
    mail_ehlo_name: str = setting(parsers.one_line, "")
    mail_timeout: float = setting(parsers.seconds, "60")
    mail_connections: int = setting(parsers.integer(1, 200), "10")
    #: Messages a second over all connections of one worker; 0 means no limit of ours.
    mail_rate: int = setting(parsers.integer(0, 1_000_000), "0")
    #: The same for each domain that mail goes to, and how many mails may be under way to it at once.
    mail_domain_rate: int = setting(parsers.integer(0, 1_000_000), "0")
    mail_domain_connections: int = setting(parsers.integer(0, 200), "0")
    #: Who signs our mails (RFC 6376); no domain means that of SENDER_ADDRESS. One selector for each
    #: key: an RSA key, an Ed25519 key, or both.
    dkim_domain: str = setting(parsers.domain, "")
    dkim_selector: tuple[str, ...] = setting(parsers.host_labels, "")
    dkim_key: tuple[str, ...] = setting(parsers.dkim_keys, "", secret=True)
    #: From which day on, and how many newsletters at most on the first day of sending, the second and so
    #: on; after the last of these days there is no ceiling.
    warm_up: tuple[date, tuple[int, ...]] | None = setting(parsers.warm_up, "")
    #: The addresses that mail leaves from into the world; empty where that is a relay's business.
    mail_addresses: tuple[str, ...] = setting(parsers.addresses, "")
    #: Whom to ask for names instead of the machine's own name servers: address and port.
    dns_server: tuple[str, int] | None = setting(parsers.name_server, "")
    #: Whether SPF, DKIM and the like have to be in order for a campaign: "always" also while trying out.
    preflight: str = setting(parsers.one_of("auto", "always"), "auto")
    queue_url: str = setting(parsers.one_line, "", secret=True)
    proxy_hops: int = setting(parsers.integer(0, 10), "0")
    timezone: ZoneInfo = setting(parsers.timezone, "Europe/Helsinki")
    languages: tuple[str, ...] = setting(parsers.languages, "fi,en")
    tracking: str = setting(parsers.one_of(*TRACKING_MODES), "consent")
    #: CSV files whose first column is a network: mail relays (Apple's list as it is), link scanners.
    relay_ranges: str = setting(parsers.one_line, "")
    scanner_ranges: str = setting(parsers.one_line, "")
    #: A hit sooner after acceptance than this is a machine's.
    scanner_seconds: float = setting(parsers.seconds, "10")
    #: So many different links within so many seconds: no person reads that fast.
    scanner_links: int = setting(parsers.integer(2, 100), "3")
    scanner_window: float = setting(parsers.seconds, "5")
    #: Days after which the IP address of an open or click is cut to its network.
    ip_days: int = setting(parsers.integer(1, 365), "90")
    #: Smaller counts are shown to the privacy level only.
    smallest_cell: int = setting(parsers.integer(1, 100), "5")
    signup_limit_ip: str = setting(parsers.limits, "5/minute;20/hour")
    signup_limit_address: str = setting(parsers.limits, "1/day;3/30day")
    signup_limit_domain: str = setting(parsers.limits, "30/hour")
    #: Signups of all visitors together, beyond which each has to show a proof of work.
    signup_breaker: str = setting(parsers.limits, "300/10minute")
    #: Day and time in January from which the purge of the year may begin.
    purge_at: tuple[int, int, int] = setting(parsers.day_and_time, "15 03:00")
    #: How long things are kept that have a clock of their own; the notice says the same numbers.
    keep_proof_years: int = setting(parsers.integer(1, 10), "3")
    keep_audit_months: int = setting(parsers.integer(6, 120), "24")
    keep_bounces_days: int = setting(parsers.integer(1, 365), "30")
    keep_logs_days: int = setting(parsers.integer(1, 365), "30")
    keep_backups_days: int = setting(parsers.integer(1, 365), "35")
    #: Where erasures are noted for restored backups; several machines share one.
    erasure_journal: str = setting(parsers.one_line, "")
    #: Where mails come back to, each to a tag of its own; "" is the sender's address, "off" uses no tags.
    bounce_address: str = setting(parsers.bounce_address, "")
    #: Where reports are fetched from each minute: a Maildir folder, an IMAP mailbox; both are emptied.
    bounce_maildir: str = setting(parsers.one_line, "")
    bounce_imap_server: str = setting(parsers.server_name, "")
    bounce_imap_port: int = setting(parsers.integer(1, 65535), "993")
    bounce_imap_use_ssl: bool = setting(parsers.boolean, "true")
    bounce_imap_username: str = setting(parsers.one_line, "")
    bounce_imap_password: str = setting(parsers.one_line, "", secret=True)
    bounce_imap_folder: str = setting(parsers.one_line, "INBOX")
    #: Of the accepted: where staff are warned, and where a campaign stops by itself.
    complaint_warn: float = setting(parsers.percentage, "0.10")
    complaint_stop: float = setting(parsers.percentage, "0.30")
    bounce_stop: float = setting(parsers.percentage, "5")
    #: A smaller campaign is judged as if it had so many.
    bounce_first: int = setting(parsers.integer(1, 1_000_000), "500")
    #: So many campaigns in a row that came back for now, over so many days, and nothing more is sent.
    soft_campaigns: int = setting(parsers.integer(2, 100), "5")
    soft_days: int = setting(parsers.integer(0, 365), "14")
    #: What opens ``/hooks/…`` to reports of each relay: its signing key, login, token or topic.
    hook_key: str = setting(parsers.one_line, "", secret=True)
    hook_brevo_token: str = setting(parsers.one_line, "", secret=True)
    hook_mailgun_key: str = setting(parsers.one_line, "", secret=True)
    hook_postmark_login: str = setting(parsers.one_line, "", secret=True)
    hook_sendgrid_key: str = setting(parsers.one_line, "", secret=True)
    hook_ses_topic: str = setting(parsers.one_line, "")
    sender_name: str = setting(parsers.one_line, "")
    sender_address: str = setting(parsers.mail_address, "")
    sender_postal: str = setting(parsers.one_line, "")
    sender_business_id: str = setting(parsers.one_line, "")
    #: What stands in the notice and on the pages: a name, a telephone number, an address.
    privacy_contact: str = setting(parsers.one_line, "")
    #: Who is written to about late requests, breaches and a purge that did not run.
    privacy_alerts: tuple[str, ...] = setting(parsers.mailboxes, "")
    #: Who else gets the data, and where to outside the EU, as the privacy notice says it.
    notice_recipients: str = setting(parsers.one_line, "")
    notice_transfers: str = setting(parsers.one_line, "none")
    #: The look of every mail: a picture, the colour of links and buttons, fonts, a line for the footer.
    brand_logo: str = setting(parsers.image_url, "")
    brand_colour: str = setting(parsers.colour, "#0b6a58")
    brand_font: str = setting(
        parsers.font, "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
    )
    brand_footer: str = setting(parsers.one_line, "")
    #: Whether staff may sign in with passkeys; needs the extra of that name.
    passkeys: bool = setting(parsers.boolean, "false")
    #: Where staff sign in by OpenID Connect, as the provider writes it itself; needs the extra ``oidc``.
    oidc_issuer: str = setting(parsers.issuer, "")
    oidc_client_id: str = setting(parsers.one_line, "")
    oidc_client_secret: str = setting(parsers.one_line, "", secret=True)
    #: What people call the provider; its host name unless set.
    oidc_name: str = setting(parsers.one_line, "")
    #: A campaign then starts only when one person has asked for it and another has agreed.
    second_person: bool = setting(parsers.boolean, "false")
    #: The sites that may show the signup form in a frame and send it in by script.
    embed_origins: tuple[str, ...] = setting(parsers.origins, "")
    #: The hosts that webhooks may go to; nobody else is ever called.
    webhook_hosts: tuple[str, ...] = setting(parsers.hosts, "")
    #: How much is logged, and in which form; by itself text on a terminal and JSON elsewhere.
    log_level: str = setting(parsers.one_of(*LOG_LEVELS), "auto")
    log_format: str = setting(parsers.one_of(*LOG_FORMATS), "auto")
    #: Whether each request leaves a line: its route, status and time, and nothing that leads to a person.
    log_requests: bool = setting(parsers.boolean, "false")
    #: Where each value came from: "environment", the settings file (or a file named there), "instance
    #: folder" or "default".
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read and check every setting; make the keys of an embedded instance when it has none.

        Raises SettingsInvalid, with a line for each thing wrong, and StartRefused when the
        instance folder cannot be used.
        """
        environ = os.environ if environ is None else environ
        given = {name.removeprefix(PREFIX): text for name, text in environ.items() if name.startswith(PREFIX)}
        instance = Path(given.get("INSTANCE_PATH") or "instance").absolute()
        prepare(instance)
        problems: list[str] = []
        texts, sources = _collect(given, instance / "newsletter.toml", problems)
        values = _parse(texts, problems)
        values["instance_path"] = instance
        url = values.setdefault("database_url", make_url(f"sqlite:///{instance}/newsletter.db"))
        values.setdefault("base_url", load_base_url(instance))
        for key in ("secret_key", "suppression_key"):
            if values.get(key):
                continue
            if url.get_backend_name() == "sqlite":
                values[key], sources[key] = load_or_create_key(instance / key), "instance folder"
            else:
                # Several machines would each make their own, and no link would open on two of them.
                problems.append(f"{PREFIX}{key.upper()}: missing; with PostgreSQL set it yourself")
        problems += [f"{PREFIX}{name}: {problem}" for name, problem in find_conflicts(values)]
        if problems:
            raise SettingsInvalid(reason="\n".join(problems))
        return cls(**values, sources=sources)

    @property
    def alert_mailboxes(self) -> tuple[str, ...]:
        """Where alerts about data protection go; the contact counts where it is nothing but an address."""
        if self.privacy_alerts:
            return self.privacy_alerts
        contact = self.privacy_contact
        return (contact,) if "@" in contact and " " not in contact else ()

    @property
    def loses_alerts(self) -> bool:
        """True when alerts have nowhere to go, other than while trying out."""
        return not self.alert_mailboxes and (bool(self.privacy_contact) or not self.is_local)

    @property
    def uses_sqlite(self) -> bool:
        """True for the embedded database."""
        return self.database_url.get_backend_name() == "sqlite"

    @property
    def journal_path(self) -> Path:
        """The file of erasures: never inside the database, which it outlives."""
        return Path(self.erasure_journal) if self.erasure_journal else self.instance_path / "erasures.journal"

    @property
    def uses_mailbox(self) -> bool:
        """True while no mail server is set: mail then goes to the built-in mailbox."""
        return not self.mail_server

    @property
    def is_local(self) -> bool:
        """True while the pages are served on a loopback address only, for trying out."""
        return parsers.is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def is_trial(self) -> bool:
        """True while nobody but whoever sits at this machine gets mail or can look at a page."""
        return self.is_local and self.uses_mailbox

    @property
    def queue(self) -> str:
        """Where wake-ups travel: a SQLite file, PostgreSQL or Redis, as a URL."""
        if self.queue_url:
            return self.queue_url
        if self.uses_sqlite:
            return f"sqlite:///{Path(str(self.database_url.database)).absolute().with_name('queue.db')}"
        return self.database_url.render_as_string(hide_password=False)

    def report(self) -> list[tuple[str, str, str]]:
        """Return (name, value, source) of every setting, secrets masked, for ``doctor``."""
        rows = []
        for item in setting_fields():
            value = getattr(self, item.name)
            if item.name in {"database_url", "queue_url"}:
                text = _without_password(value)
            elif item.metadata["secret"]:
                text = MASK if value else ""
            elif item.metadata["parse"] is parsers.percentage:
                text = f"{value * 100:g}"
            elif item.name == "purge_at":
                text = f"{value[0]} {value[1]:02}:{value[2]:02}"
            elif item.name == "warm_up":
                text = f"{value[0]} {','.join(map(str, value[1]))}" if value else ""
            elif item.name == "dns_server":
                text = f"[{value[0]}]:{value[1]}" if value else ""
            elif isinstance(value, tuple):
                text = ",".join(value)
            else:
                text = str(value)
            rows.append((PREFIX + item.name.upper(), text, self.sources.get(item.name, "default")))
        return rows


def _without_password(address: URL | str) -> str:
    if not address:
        return ""
    url = make_url(address)
    secret = {name: MASK for name in url.query if "password" in name}
    return url.update_query_dict(secret).render_as_string(hide_password=True)


def setting_fields() -> list[Field[Any]]:
    """Return the dataclass fields that are settings."""
    return [item for item in fields(Settings) if "parse" in item.metadata]


def current_settings() -> Settings:
    """Return the running application's settings."""
    return cast(Settings, current_app.config["NEWSLETTER"])


def data_folder(name: str) -> Path:
    """Return the folder ``templates`` or ``migrations``: from the wheel, else from the checkout."""
    package = Path(__file__).parents[1]
    packed = package / "_data" / name
    return packed if packed.is_dir() else package.parent / name


def _collect(
    given: Mapping[str, str], path: Path, problems: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Collect each setting's text and where it stands; unknown names become problems."""
    known = {item.name.upper(): item for item in setting_fields()}
    texts: dict[str, str] = {}
    sources: dict[str, str] = {}
    for origin, found in ((path.name, read_settings_file(path, problems)), ("environment", given)):
        for name, text in _take_secret_files(found, known, texts, sources, origin, problems).items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
                problems.append(f"{PREFIX}{name} ({origin}): there is no such setting{hint}")
            elif text or known[name].metadata["default"] is not None:
                texts[known[name].name] = text
                sources[known[name].name] = origin
    return texts, sources


def _take_secret_files(
    found: Mapping[str, str],
    known: Mapping[str, Field[Any]],
    texts: dict[str, str],
    sources: dict[str, str],
    origin: str,
    problems: list[str],
) -> dict[str, str]:
    """Read the secrets that files hold; return what else was found at this origin."""
    rest = {}
    for name, text in found.items():
        setting_name = name.removesuffix(FILE_SUFFIX)
        item = known.get(setting_name)
        if name in known or item is None or setting_name == name:
            rest[name] = text
        elif not item.metadata["secret"]:
            problems.append(
                f"{PREFIX}{name} ({origin}): only secrets come from files; set {PREFIX}{setting_name}"
            )
        elif text and found.get(setting_name):
            problems.append(f"{PREFIX}{name} ({origin}): set either this or {PREFIX}{setting_name}, not both")
        elif text:
            try:
                texts[item.name] = read_secret_file(Path(text))
                sources[item.name] = f"{origin}: {text}"
            except ValueError as error:
                problems.append(f"{PREFIX}{name} ({origin}): {error}")
    return rest


def _parse(texts: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    values = {}
    for item in setting_fields():
        text = texts.get(item.name, item.metadata["default"])
        if text is None:
            continue
        try:
            values[item.name] = item.metadata["parse"](text)
        except ValueError as error:
            problems.append(f"{PREFIX}{item.name.upper()}: {error}")
    return values
