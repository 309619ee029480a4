"""``newsletter stats``: verify the figures, and reclassify the raw records."""

from dataclasses import asdict

from flask.cli import AppGroup

from newsletter.cli.report import report
from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import NewsletterError
from newsletter.ledger import audit
from newsletter.stats.rollups import reclassify
from newsletter.stats.rollups import verify as rollups_verify
from newsletter.stats.rollups.funnel_months import find_wrong_months
from newsletter.stats.rollups.ingest import load_local_logs
from newsletter.tracking.classify import RULES_VERSION

stats = AppGroup("stats", help="Check the figures, and count anew.")


class FiguresWrong(NewsletterError):
    """A stored number is not what counting gives."""

    message = "These figures are not what counting gives:\n%(lines)s"


@stats.command("verify")
@report
def verify() -> tuple[object, str]:
    """Count all opens, clicks and months of sign-ups again and compare them with the figures."""
    load_local_logs()
    campaigns, wrong = rollups_verify.verify_all()
    lines = [f"  campaign {it.campaign_id}: {it.what}: {it.stored}, counted {it.counted}" for it in wrong]
    lines += [f"  sign-ups of {month:%Y-%m}: not what their days add up to" for month in find_wrong_months()]
    db.session.rollback()
    if lines:
        raise FiguresWrong(lines="\n".join(lines))
    data = {"campaigns": campaigns, "differences": [asdict(found) for found in wrong]}
    return data, f"The figures of {campaigns} campaigns are what counting gives."


@stats.command("reclassify")
@report
def reclassify_records() -> tuple[object, str]:
    """Apply the rules that tell machines from people to all that is kept, and correct the figures."""
    load_local_logs()
    changed = reclassify.reclassify()
    audit.record("events reclassified", actor="console", now=utcnow(), version=RULES_VERSION, changed=changed)
    db.session.commit()
    text = f"{changed} opens and clicks have another class under version {RULES_VERSION} of the rules."
    return {"changed": changed, "version": RULES_VERSION}, text
