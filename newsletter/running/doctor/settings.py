"""Doctor checks of the settings alone."""

from newsletter.config import current_settings
from newsletter.sending.lifecycle.preflight import SENDER_SETTINGS
from newsletter.tracking.networks import Networks, RangesUnreadable

MIN_KEY_LENGTH = 32


def check_settings() -> list[str]:
    """Name what stands in the way of real use."""
    chosen = current_settings()
    found = []
    missing = [f"NEWSLETTER_{name.upper()}" for name in SENDER_SETTINGS if not getattr(chosen, name)]
    if missing:
        found.append(f"recipients must see who writes to them; set {', '.join(missing)}.")
    if chosen.uses_mailbox:
        found.append("no NEWSLETTER_MAIL_SERVER is set, so mails stay in the built-in mailbox.")
    if chosen.mail_server and not (chosen.mail_use_tls or chosen.mail_use_ssl):
        found.append(
            "mail leaves without TLS; set NEWSLETTER_MAIL_USE_TLS unless the server is on this machine."
        )
    if chosen.loses_alerts:
        found.append(
            "alerts about data protection go to nobody; set NEWSLETTER_PRIVACY_ALERTS to e-mail addresses."
        )
    if chosen.tracking == "notice":
        found.append(
            "NEWSLETTER_TRACKING=notice measures people who said nothing; EU guidance asks for their consent."
        )
    try:
        Networks.of(chosen.relay_ranges, chosen.scanner_ranges)
    except RangesUnreadable as error:
        found.append(f"networks of machines: {error}")
    if min(len(chosen.secret_key), len(chosen.suppression_key)) < MIN_KEY_LENGTH:
        found.append("a secret key is short enough to guess; make each from 32 random bytes.")
    if not chosen.is_local and chosen.base_url.startswith("http://"):
        found.append("NEWSLETTER_BASE_URL is not https.")
    return found
