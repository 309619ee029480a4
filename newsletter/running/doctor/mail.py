"""Doctor checks of mail: the server, DNS records (SPF, DKIM, DMARC), and the messages themselves."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from newsletter.campaigns.content.compose import compose as compose_edition
from newsletter.campaigns.models import Edition
from newsletter.config import current_settings
from newsletter.mail.backends import open_transport
from newsletter.mail.deliverability.checks import CheckResult, run_checks
from newsletter.mail.deliverability.dns import DnsResolver
from newsletter.mail.deliverability.lint import find_violations
from newsletter.mail.deliverability.messages import MESSAGES
from newsletter.mail.deliverability.status import is_required
from newsletter.mail.dkim import dkim_signer
from newsletter.mail.message import compose, make_message_id, sender_address
from newsletter.mail.models import Grade
from newsletter.mail.smtp.probe import ProbeResult, probe_server
from newsletter.running.doctor.machine import DoctorResult
from newsletter.sending.message.personalize import ListName, Personalizer, compile_variants
from newsletter.sending.message.test_mail import NO_SUBSCRIBER, SAMPLE_ADDRESS

#: A certificate that ends sooner wants to be renewed.
CERTIFICATE_WARNING = timedelta(days=14)
_BODY = """\
## A heading with an ä

Some words, [a link](https://www.kirjakauppa.example/uutiset), and 5 €.

![A cup of coffee](https://www.kirjakauppa.example/kahvi.png)

.
"""


def check_mail(now: datetime) -> list[DoctorResult]:
    """Greet the mail server, ask DNS, and read messages of each kind as a stranger would."""
    chosen = current_settings()
    greeting = probe_server() if chosen.mail_server else None
    found = list(_check_server(greeting, now))
    if is_required(chosen):
        found += [_verdict_result(verdict) for verdict in run_checks(chosen, DnsResolver(chosen), greeting)]
    else:
        message = "SPF, DKIM, DMARC and the like are not asked for: mail from here is for trying out."
        found.append(
            DoctorResult("dns", Grade.NOTE, message, "To ask all the same: NEWSLETTER_PREFLIGHT=always")
        )
    return found


def dkim_records() -> list[dict[str, str]]:
    """Return what has to stand in DNS for the keys that sign."""
    signer = dkim_signer(current_settings())
    if signer is None:
        return []
    return [
        {"name": f"{key.selector}._domainkey.{signer.domain}", "type": "TXT", "value": key.record}
        for key in signer.keys
    ]


def check_messages(now: datetime, folder: Path | None = None) -> list[DoctorResult]:
    """Write a newsletter and a confirmation mail in each language, and hold them against the rules.

    ``folder``: put them there as well, for somebody else's judgement.
    """
    chosen = current_settings()
    found = []
    for tongue in chosen.languages:
        for kind, message, is_measured in _sample_messages(tongue, now):
            if folder is not None:
                name = f"{kind.replace(' ', '-')}{'-measured' if is_measured else ''}-{tongue}.eml"
                (folder / name).write_bytes(message)
            wrong = find_violations(message, chosen, is_bulk=kind == "newsletter", is_measured=is_measured)
            found += [
                DoctorResult("messages", Grade.FAILED, f"{kind} ({tongue}), {breach.rule}: {breach.what}.")
                for breach in dict.fromkeys(wrong)
                # A trial needs no name of a sender; the settings' own note asks for it.
                if not (breach.rule == "MF-7" and chosen.is_local)
            ]
    fine = "A newsletter and a confirmation mail keep the rules MF-1 to MF-8 in each language."
    return list(dict.fromkeys(found)) or [DoctorResult("messages", Grade.FINE, fine)]


def send_test_mail(address: str, now: datetime) -> DoctorResult:
    """Send a mail to an address, past the outbox, and tell what the server answered."""
    chosen = current_settings()
    message = _sign(
        compose(
            "check",
            {"checked_at": now, "base_url": chosen.base_url},
            to=address,
            tongue=chosen.languages[0],
            message_id=make_message_id(chosen),
            now=now,
        ).as_bytes(),
        now,
    )
    with open_transport() as transport:
        reply = transport.send(sender_address(chosen), address, message)
    said = f"{reply.code or ''} {reply.text}".strip()
    if not reply.is_accepted:
        return DoctorResult("mail", Grade.FAILED, f"The mail was not accepted: {said}")
    advice = "Look into it when it arrives: its Authentication-Results say what the receiver thinks of us."
    if chosen.uses_mailbox:
        advice = f"It is in the built-in mailbox, {chosen.base_url}/mailbox"
    return DoctorResult("mail", Grade.FINE, f"The mail was accepted: {said}", advice)


def _check_server(greeting: ProbeResult | None, now: datetime) -> Iterator[DoctorResult]:
    if greeting is None:
        yield DoctorResult("mail server", Grade.NOTE, "There is none: mails stay in the built-in mailbox.")
    elif greeting.problem:
        yield DoctorResult("mail server", Grade.FAILED, f"It cannot be used: {greeting.problem}")
    else:
        offers = ", ".join(greeting.features) or "nothing"
        spoken = greeting.tls or "no encryption"
        yield DoctorResult("mail server", Grade.FINE, f"It lets us in, over {spoken}; it offers {offers}.")
    if greeting is not None and greeting.expires_at and greeting.expires_at - now < CERTIFICATE_WARNING:
        message = f"The mail server's certificate ends on {greeting.expires_at:%Y-%m-%d}."
        yield DoctorResult("mail server", Grade.NOTE, message, "Renew it before that day.")


def _verdict_result(verdict: CheckResult) -> DoctorResult:
    message, advice = (text % verdict.values for text in MESSAGES[verdict.word])
    return DoctorResult(verdict.code, verdict.grade, message, advice)


def _sample_messages(tongue: str, now: datetime) -> Iterator[tuple[str, bytes, bool]]:
    edition = Edition(id=0, campaign_id=0, language=tongue, subject="Hyvää päivää 🎉", preview="", body=_BODY)
    edition.compiled = compile_variants(edition, compose_edition(edition)).dump()
    filler = Personalizer(edition, {0: ListName("newsletter", "Uutiskirje, päivittäin")})
    for is_measured in (False, True):
        yield (
            "newsletter",
            filler.render(NO_SUBSCRIBER, SAMPLE_ADDRESS, 0, is_measured=is_measured, now=now),
            is_measured,
        )
    links = {
        name: f"{current_settings().base_url}/{name.removesuffix('_url')}/token"
        for name in ("confirm_url", "cancel_url", "preferences_url")
    }
    context = {"lists": ["Uutiset & tarjoukset"], "requested_at": now, "expires_at": now} | links
    mail = compose(
        "confirm",
        context,
        to=SAMPLE_ADDRESS,
        tongue=tongue,
        message_id=make_message_id(current_settings()),
        now=now,
    )
    yield "confirmation mail", _sign(mail.as_bytes(), now), False


def _sign(message: bytes, now: datetime) -> bytes:
    signer = dkim_signer(current_settings())
    return signer.sign(message, now=now) if signer else message
