"""Preflight checks of a campaign: content, sender, audience, deliverability."""

from collections.abc import Iterator
from datetime import datetime

from newsletter.campaigns.content.checks import Finding, check_edition
from newsletter.campaigns.models import Campaign
from newsletter.config import current_settings
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.mail.deliverability import status
from newsletter.mail.deliverability.messages import MESSAGES
from newsletter.mail.models import Grade
from newsletter.sending.lifecycle.audience import Audience, audience_of

#: What the footer of every newsletter must name, and a mail must come from (MF-7).
SENDER_SETTINGS = (
    "sender_name",
    "sender_address",
    "sender_postal",
    "sender_business_id",
    "privacy_contact",
)


class SenderIncomplete(NewsletterError):
    """The law wants the sender named, and some of it is missing."""

    message = N_("Set these first, so that recipients see who writes to them: %(names)s.")


class ChecksFailed(NewsletterError):
    """Something in it is wrong enough not to be sent."""

    message = N_("Campaign %(id)s has errors that have to be mended before it is sent: %(codes)s.")

    def __init__(self, campaign: Campaign, findings: list[Finding]) -> None:
        self.findings = findings
        codes = dict.fromkeys(finding.code for finding in findings)
        super().__init__(id=campaign.id, codes=", ".join(codes))


class StandingLow(NewsletterError):
    """Deliverability checks fail: mail would be refused or filtered as spam (SB-8)."""

    message = N_("Mails would not arrive as they should. Mend this first: %(codes)s.")


def check_campaign(campaign: Campaign, audience: Audience | None = None, *, now: datetime) -> list[Finding]:
    """Return everything that is wrong with a campaign, errors first."""
    audience = audience or audience_of(campaign)
    found = [finding for edition in campaign.editions for finding in check_edition(edition)]
    if missing := _missing_sender():
        found.append(_sender_finding(missing))
    if not audience.recipients:
        message = N_("The audience is empty: nobody would get it.")
        advice = N_("Choose a list with confirmed subscribers.")
        found.append(Finding("audience_empty", message, advice))
    found += check_deliverability(now)
    return sorted(found, key=lambda finding: not finding.is_error)


def check_deliverability(now: datetime) -> Iterator[Finding]:
    """Yield the problems of the last deliverability checks; queries no server."""
    if not status.is_required(current_settings()):
        return
    rows = status.latest_results()
    if not rows or now - rows[0].checked_at > status.STALE_AFTER:
        yield Finding(
            "standing_unknown",
            N_("Nobody has looked lately whether our mail is well received."),
            N_("A worker does so within a minute. If this stays, check that one is running."),
            is_overridable=True,
        )
    for row in rows:
        if row.grade in {Grade.FAILED, Grade.UNKNOWN}:
            message, advice = MESSAGES[row.word]
            is_error = row.grade is Grade.FAILED
            yield Finding(row.code, message, advice, is_error, values=row.details, is_overridable=is_error)


def require_deliverability(campaign: Campaign, now: datetime) -> None:
    """Raise StandingLow where a deliverability check fails, unless an administrator has overridden it."""
    wrong = [finding.code for finding in check_deliverability(now) if finding.is_error]
    if wrong and campaign.overridden_by is None:
        raise StandingLow(codes=", ".join(wrong))


def override_deliverability(campaign: Campaign, *, now: datetime, actor: str) -> None:
    """Let a campaign go although our standing is low. Only an administrator may; the log says who did."""
    wrong = [finding.code for finding in check_deliverability(now) if finding.is_error]
    if wrong:
        campaign.overridden_by = actor
        audit.record(
            "preflight overridden", actor=actor, now=now, object=f"campaign:{campaign.id}", findings=wrong
        )


def require_sender() -> None:
    """Raise SenderIncomplete where the sender is not named; trying out on this machine needs no name."""
    missing = _missing_sender()
    if missing and not current_settings().is_local:
        raise SenderIncomplete(names=missing)


def require_content(campaign: Campaign) -> None:
    """Raise ChecksFailed when an edition has errors."""
    found = [finding for edition in campaign.editions for finding in check_edition(edition)]
    errors = [finding for finding in found if finding.is_error]
    if errors:
        raise ChecksFailed(campaign, errors)


def _missing_sender() -> str:
    chosen = current_settings()
    return ", ".join(f"NEWSLETTER_{name.upper()}" for name in SENDER_SETTINGS if not getattr(chosen, name))


def _sender_finding(missing: str) -> Finding:
    return Finding(
        "sender_missing",
        N_("The sender is not named in full. Missing: %(names)s"),
        N_("Ask whoever runs the server to set it: the law wants recipients to see who writes to them."),
        is_error=not current_settings().is_local,
        values={"names": missing},
    )
