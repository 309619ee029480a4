"""All that is looked at before a campaign is sent: its words, its sender, its audience."""

from newsletter.campaigns.checks import Finding, check_edition
from newsletter.campaigns.models import Campaign
from newsletter.config import settings
from newsletter.errors import N_, NewsletterError
from newsletter.sending.audience import Audience, audience_of

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


def check_campaign(campaign: Campaign, audience: Audience | None = None) -> list[Finding]:
    """Return everything that is wrong with a campaign, errors first."""
    audience = audience or audience_of(campaign)
    found = [finding for edition in campaign.editions for finding in check_edition(edition)]
    if missing := _missing_sender():
        found.append(_sender_finding(missing))
    if not audience.recipients:
        message = N_("The audience is empty: nobody would get it.")
        advice = N_("Choose a list with confirmed subscribers.")
        found.append(Finding("audience_empty", message, advice))
    return sorted(found, key=lambda finding: not finding.is_error)


def require_sender() -> None:
    """Raise SenderIncomplete where the sender is not named; trying out on this machine needs no name."""
    missing = _missing_sender()
    if missing and not settings().is_local:
        raise SenderIncomplete(names=missing)


def require_content(campaign: Campaign) -> None:
    """Raise ChecksFailed when an edition has errors."""
    found = [finding for edition in campaign.editions for finding in check_edition(edition)]
    errors = [finding for finding in found if finding.is_error]
    if errors:
        raise ChecksFailed(campaign, errors)


def _missing_sender() -> str:
    chosen = settings()
    return ", ".join(f"NEWSLETTER_{name.upper()}" for name in SENDER_SETTINGS if not getattr(chosen, name))


def _sender_finding(missing: str) -> Finding:
    return Finding(
        "sender_missing",
        N_("The sender is not named in full. Missing: %(names)s"),
        N_("Ask whoever runs the server to set it: the law wants recipients to see who writes to them."),
        is_error=not settings().is_local,
        values={"names": missing},
    )
