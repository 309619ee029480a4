"""How long it takes to read, classify and store what came back, from a Maildir and with all it changes.

    python benchmarks/bounces.py [--messages 10000] [--engine sqlite]

Each message is one of a dozen kinds of report that servers and people send, about a delivery of its
own, with 6 KB of the newsletter that came back in it. "Reading" is the part that looks nothing up;
the rest is the database and the disk. Everything is made in a temporary folder.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL

from benchmarks.engines import database
from newsletter import create_app
from newsletter.bounces.models import Bounce, Complaint
from newsletter.bounces.parser import parse_message
from newsletter.bounces.sources.mailbox import fetch_maildir
from newsletter.campaigns.drafts import create_campaign
from newsletter.campaigns.models import CampaignStatus
from newsletter.config import PREFIX, Settings
from newsletter.db import db
from newsletter.mail.return_path import return_paths
from newsletter.running import migrations
from newsletter.sending.models import Delivery, DeliveryStatus
from newsletter.subscribers.addresses import hash_address
from newsletter.subscribers.models import MailingList, Subscriber, Subscription, SubscriptionStatus

NOW = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)
CORPUS = Path(__file__).parent.parent / "tests" / "bounces" / "corpus"
KINDS = (
    "hard--postfix-unknown-user", "hard--exim-no-such-person", "hard--qmail-no-mailbox",
    "hard--hosted-exchange-recipient-not-found", "hard--webmail-account-does-not-exist",
    "soft--postfix-mailbox-full", "soft--webmail-over-quota", "ours--dmarc", "ours--block-list",
    "delayed--postfix-warning", "auto_reply--out-of-office-exchange", "complaint--abuse",
)  # fmt: skip
PADDING = b"\n" + b"X-Body: the newsletter itself, as it came back, so many letters long\n" * 85


def main() -> int:
    """Measure each engine and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"))
    chosen = parser.parse_args()
    for engine in (chosen.engine,) if chosen.engine else ("sqlite", "postgresql"):
        with tempfile.TemporaryDirectory() as folder, database(engine, Path(folder)) as url:
            measure(engine, Path(folder), url, chosen.messages)
    return 0


def measure(engine: str, folder: Path, url: URL, number: int) -> None:
    """Fill a Maildir with reports, empty it, and print what it took."""
    environ = {
        "INSTANCE_PATH": str(folder / "instance"),
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "QUEUE_URL": "memory://",
    }
    environ |= {"SECRET_KEY": "benchmark", "SUPPRESSION_KEY": "benchmark"}
    environ |= {"SENDER_ADDRESS": "uutiset@kirjakauppa.example"}
    app = create_app(Settings.load({PREFIX + name: text for name, text in environ.items()}))
    with app.app_context():
        migrations.upgrade()
        maildir = _fill(folder, number)
        contents = [path.read_bytes() for path in (maildir / "new").iterdir()]
        began, used = time.monotonic(), time.process_time()
        for content in contents:
            parse_message(content)
        reading = time.process_time() - used
        began, used = time.monotonic(), time.process_time()
        taken = fetch_maildir(maildir, NOW)
        took, used = time.monotonic() - began, time.process_time() - used
        stored = Counter(kind.value for kind in db.session.scalars(sa.select(Bounce.kind)))
        stored["complaint"] = db.session.scalar(sa.select(sa.func.count()).select_from(Complaint)) or 0
        db.session.rollback()
        db.engine.dispose()
    size = sum(map(len, contents)) / 1e6
    print(f"{engine}: {taken:,} messages ({size:.0f} MB) in {took:.1f} s, {taken / took:,.0f}/s")
    print(f"  CPU of this process {used:.1f} s, of which reading {reading:.1f} s; stored {dict(stored)}")


def _fill(folder: Path, number: int) -> Path:
    """Make a campaign that was accepted by so many people, and a report on each."""
    mailing_list = MailingList(slug="uutiset", name="Uutiset", language="fi", created_at=NOW)
    db.session.add(mailing_list)
    db.session.flush()
    campaign = create_campaign([mailing_list], subject="Uutiset", body="Hei!", now=NOW, actor="console")
    campaign.status, campaign.started_at = CampaignStatus.SENT, NOW
    campaign.totals.recipients = campaign.totals.accepted = number
    db.session.flush()
    people = [_person(position) for position in range(1, number + 1)]
    db.session.execute(sa.insert(Subscriber), people)
    on_list = {"list_id": mailing_list.id, "status": SubscriptionStatus.CONFIRMED, "created_at": NOW}
    db.session.execute(sa.insert(Subscription), [on_list | {"subscriber_id": row["id"]} for row in people])
    sent: dict[str, object] = {
        "campaign_id": campaign.id,
        "edition_id": campaign.editions[0].id,
        "list_id": mailing_list.id,
    }
    sent |= {"status": DeliveryStatus.ACCEPTED, "accepted_at": NOW, "attempts": 1, "is_measured": False}
    db.session.execute(sa.insert(Delivery), [sent | {"subscriber_id": row["id"]} for row in people])
    db.session.commit()
    return _write_reports(folder / "Maildir", campaign.id, number)


def _person(number: int) -> dict[str, object]:
    address = f"tilaaja{number}@example.com"
    return {
        "id": number, "address": address, "address_key": address, "address_hash": hash_address(address),
        "language": "fi", "created_at": NOW,
    }  # fmt: skip


def _write_reports(maildir: Path, campaign_id: int, number: int) -> Path:
    for part in ("new", "cur", "tmp"):
        (maildir / part).mkdir(parents=True)
    samples = [(CORPUS / f"{name}.eml").read_bytes() for name in KINDS]
    for position in range(1, number + 1):
        content = samples[position % len(samples)]
        content = content.replace(b"RETURN-PATH", return_paths().of(campaign_id, position).encode())
        content = content.replace(b"tilaaja@", b"tilaaja%d@" % position)
        (maildir / "new" / f"{position}.host").write_bytes(content + PADDING)
    return maildir


if __name__ == "__main__":
    sys.exit(main())
