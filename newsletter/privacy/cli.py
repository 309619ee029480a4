"""``newsletter privacy …``."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from flask import current_app, render_template
from flask.cli import AppGroup

from newsletter.cli.report import report, write_private_file
from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import NewsletterError
from newsletter.ledger import audit
from newsletter.ledger.audit import verify_log
from newsletter.privacy.deadlines import is_january, local_day
from newsletter.privacy.export.collect import as_csv, as_json, read_data_export
from newsletter.privacy.export.labels import data_sections
from newsletter.privacy.proof.consent import proof_as_dict, read_proof
from newsletter.privacy.proof.removal import remove_proof
from newsletter.privacy.requests.remains import find_remains, forget_askers
from newsletter.privacy.retention.erasure import erase_person, scrub_if_due
from newsletter.privacy.retention.purge import STAGES, last_run, run_purge
from newsletter.privacy.retention.purge_selection import count_left_out, preview_purge
from newsletter.privacy.retention.schedule import schedule_lines
from newsletter.privacy.retention.staff_accounts import clear_account
from newsletter.staff import personal_data as staff_records
from newsletter.staff.accounts import UnknownAccount, find_account, get_account
from newsletter.staff.models import Staff
from newsletter.subscribers.addresses import hash_address, parse_address
from newsletter.subscribers.consent.evidence import verify_ledger
from newsletter.subscribers.queries import UnknownSubscriber
from newsletter.web.i18n import force_language

privacy = AppGroup("privacy", help="Purge, erase, answer, and prove.")


@privacy.command("schedule")
@click.option("--language", default="en", show_default=True, help="The language of the lines.")
@report
def schedule(language: str) -> tuple[object, str]:
    """Show what is kept, how long, since when, and what happens then."""
    with force_language(language):
        lines = schedule_lines(everything=True)
    blocks = [
        f"{line.what}\n  {line.how_long}. Since: {line.since}. Then: {line.then}.\n"
        f"  Columns: {', '.join(line.columns) or '-'}"
        for line in lines
    ]
    return [asdict(line) for line in lines], "\n".join(blocks)


@privacy.command("purge")
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@click.option("--any-day", is_flag=True, help="Run although it is not January.")
@click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    help="With --dry-run: count as the run of this day would, such as 2027-01-15.",
)
@report
def purge(dry_run: bool, any_day: bool, as_of: datetime | None) -> tuple[object, str]:  # noqa: FBT001 - click passes flags
    """Delete everyone who left, and the raw opens and clicks of past years."""
    if as_of is not None and not dry_run:
        raise click.UsageError("--as-of only counts: give --dry-run with it.")
    if dry_run:
        now = _moment_of_run(as_of) if as_of else utcnow()
        counts, passed = preview_purge(now), count_left_out(now)
        db.session.rollback()
        told = _format_summary("Would delete: ", counts, passed)
        if as_of is None and not is_january(now):
            told += "\nAs of today. The run in January also takes what ends until then: see --as-of."
        data = counts | {"left_out": passed, "dry_run": True, "as_of": local_day(now).isoformat()}
        return data, told
    unseen = not sys.stderr.isatty()
    with click.progressbar(length=len(STAGES) * 1000, file=sys.stderr, hidden=unseen) as bar:

        def tell(stage: str, done: int, total: int) -> None:
            share = STAGES.index(stage) + min(done / total if total else 1, 1)
            bar.update(int(share * 1000) - bar.pos)

        counts = run_purge(now=utcnow(), actor="console", any_day=any_day, progress=tell)
    passed = last_run().left_out or {}
    return counts | {"left_out": passed, "dry_run": False}, _format_summary("Deleted: ", counts, passed)


@privacy.command("erase")
@click.argument("address")
@report
def erase(address: str) -> tuple[object, str]:
    """Erase one person at once."""
    try:
        counts = erase_person(address, now=utcnow(), actor="console")
    except UnknownSubscriber:
        return _clear_requests(address, now=utcnow())
    return counts, "Erased: " + _format_counts(counts)


def _clear_requests(address: str, *, now: datetime) -> tuple[object, str]:
    """Clear the requests of somebody who is no subscriber of the address, and say what is kept of it."""
    address_hash = hash_address(parse_address(address).key)
    blanked, remains = forget_askers(address_hash, now), find_remains(address_hash)
    db.session.commit()
    scrub_if_due()
    if not blanked and not remains:
        raise UnknownSubscriber
    with force_language("en"):
        kept = remains.in_words(now)
    lines = [f"There is no subscriber with this address. Requests cleared of it: {blanked}. Kept, as a code:"]
    return {"requests": blanked, "kept": kept}, "\n  ".join(lines + kept)


@privacy.command("access")
@click.argument("address")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Where to write it: .json, .csv or .html.",
)
@click.option("--language", help="The language of the page; the first of LANGUAGES unless given.")
@report
def access(address: str, out: Path, language: str | None) -> tuple[object, str]:
    """Write everything held on one person to a file."""
    writers = {".json": as_json, ".csv": as_csv}
    if out.suffix not in {*writers, ".html"}:
        raise click.BadParameter("end the name in .json, .csv or .html.", param_hint="--out")
    data = read_data_export(address, now=utcnow(), actor="console")
    db.session.commit()
    if out.suffix in writers:
        text = writers[out.suffix](data)
    else:
        with force_language(language or current_settings().languages[0]):
            text = render_template("privacy/copy_file.html", sections=data_sections(data), styles=_styles())
    write_private_file(out, [text])
    return {"file": str(out)}, f"Wrote {out}."


@privacy.command("proof")
@click.argument("address")
@click.option("--language", help="The language of the page; the first of LANGUAGES unless given.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page to print (HTML) instead of listing the facts.",
)
@report
def proof(address: str, language: str | None, out: Path | None) -> tuple[object, str]:
    """Show what proves the consent of an address, also after it was erased."""
    found = read_proof(address, actor="console", now=utcnow())
    db.session.commit()
    if out is None:
        return proof_as_dict(found), "\n".join(
            f"{fact.at:%Y-%m-%d %H:%M:%S}Z  {fact.kind:<9} {fact.purpose:<10} {fact.list_name or '-'}"
            for fact in found.facts
        )
    with force_language(language or current_settings().languages[0]):
        page = render_template(
            "privacy/proof.html", proof=found, printed_at=utcnow(), standalone=True, styles=_styles()
        )
    write_private_file(out, [page])
    return {"file": str(out)}, f"Wrote {out}; print it from a browser."


@privacy.command("forget-proof")
@click.argument("address")
@click.option("--reason", required=True, help="Why; it is written down in the audit log.")
@report
def forget_proof(address: str, reason: str) -> tuple[object, str]:
    """Remove what proves the consents of somebody who was erased."""
    removed = remove_proof(address, reason, now=utcnow(), actor="console")
    db.session.commit()
    return {"facts": removed}, f"Removed: {removed} facts no longer lead back to this address."


@privacy.command("verify")
@report
def verify() -> tuple[object, str]:
    """Check the seals of the consent ledger and of the audit log."""
    found, acts = verify_ledger(), verify_log()
    db.session.rollback()
    if found.broken or acts.broken:
        raise LedgerBroken(places="\n".join(found.broken + acts.broken))
    words = f"{found.rows} sealed facts verify, {found.erased} of them erased, {found.deleted} deleted."
    words += f" {found.unsealed} are not sealed yet." if found.unsealed else ""
    words += f" {acts.rows} sealed acts of the audit log verify, {acts.deleted} deleted."
    return asdict(found) | {"audit": asdict(acts)}, words


class LedgerBroken(NewsletterError):
    """Something in the ledger is not what was sealed."""

    message = "The ledger has been changed:\n%(places)s"


def _moment_of_run(day: datetime) -> datetime:
    """Return when the purge begins that day, by PURGE_AT; the day itself is the one asked for."""
    _day, hour, minute = current_settings().purge_at
    return day.replace(hour=hour, minute=minute, tzinfo=current_settings().timezone).astimezone(UTC)


def _styles() -> str:
    folder = Path(str(current_app.static_folder))
    names = ("consent_proof_file.css", "consent_proof.css")
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def _format_summary(begins: str, counts: dict[str, int], passed: dict[str, int]) -> str:
    return begins + _format_counts(counts) + ". Left out: " + _format_counts(passed) + "."


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.items())


@privacy.command("access-staff")
@click.argument("address")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="A JSON file.")
@report
def access_staff(address: str, out: Path) -> tuple[object, str]:
    """Write everything held on a member of staff to a file."""
    account, now = _get_account(address), utcnow()
    data = {"copied_at": now.isoformat()} | staff_records.export(account)
    audit.record("personal data read", actor="console", now=now, object=f"staff:{account.id}")
    db.session.commit()
    write_private_file(out, [as_json(data)])
    return {"file": str(out)}, f"Wrote {out}."


@privacy.command("erase-staff")
@click.argument("address")
@report
def erase_staff(address: str) -> tuple[object, str]:
    """Clear a closed staff account of its person; the audit log keeps its number."""
    account = _get_account(address)
    clear_account(account, now=utcnow(), actor="console")
    return {"account": account.email}, f"Cleared. The audit log names the account by this: {account.email}"


def _get_account(address: str) -> Staff:
    found = find_account(address)
    if found is None:
        raise UnknownAccount
    return get_account(found.id)
