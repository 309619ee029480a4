"""The privacy notice (GDPR art. 13 and 14), generated from the settings and the retention rules."""

from dataclasses import asdict, dataclass, field
from typing import Any

from flask_babel import gettext as _

from newsletter.config import current_settings
from newsletter.errors import N_
from newsletter.privacy.retention.schedule import schedule_lines
from newsletter.web.i18n import force_language, translate

#: Sections that a notice must have (PP-4).
REQUIRED_SECTIONS = {
    "controller": N_("Controller"),
    "purposes": N_("Purposes and legal bases"),
    "data": N_("What is stored, and its sources"),
    "tracking": N_("Open and click tracking"),
    "retention": N_("How long each kind is kept"),
    "recipients": N_("Recipients"),
    "transfers": N_("Transfers"),
    "protection": N_("Protection"),
    "decisions": N_("Automated decisions"),
    "rights": N_("Rights and how to use them"),
    "authority": N_("Complaint and authority"),
}
REQUIRED_SETTINGS = ("sender_name", "sender_postal", "privacy_contact")


@dataclass(frozen=True, slots=True)
class NoticeSection:
    """One section: a heading, sentences, and terms with what they mean here."""

    id: str
    heading: str
    paragraphs: list[str]
    rows: list[tuple[str, str]] = field(default_factory=list)


def notice_sections() -> list[NoticeSection]:
    """Return the notice in the language in force."""
    return [
        _controller(),
        _purposes(),
        _data(),
        _tracking(),
        _retention(),
        _recipients(),
        _transfers(),
        _protection(),
        _decisions(),
        _rights(),
        _authority(),
    ]


def assemble_notice() -> dict[str, Any]:
    """Return the notice in every language, as a published version stores it."""
    found = {}
    for code in current_settings().languages:
        with force_language(code):
            told = [asdict(section) for section in notice_sections()]
            # As the database gives it back, so that the two can be compared.
            found[code] = [section | {"rows": list(map(list, section["rows"]))} for section in told]
    return found


def missing_parts() -> list[str]:
    """Return what a notice cannot be published without and lacks, in the language in force."""
    missing = [
        f"NEWSLETTER_{name.upper()}" for name in REQUIRED_SETTINGS if not getattr(current_settings(), name)
    ]
    there = {section.id for section in notice_sections() if section.paragraphs or section.rows}
    return missing + [translate(words) for part, words in REQUIRED_SECTIONS.items() if part not in there]


def _controller() -> NoticeSection:
    chosen = current_settings()
    rows = [
        (_("Controller"), chosen.sender_name),
        (_("Business ID"), chosen.sender_business_id),
        (_("Address"), chosen.sender_postal),
        (_("Contact in privacy matters"), chosen.privacy_contact or chosen.sender_address),
    ]
    named = [row for row in rows if row[1]]
    texts = [] if named else [_("The sender has not been named yet: this is a trial installation.")]
    return NoticeSection("controller", _("Who is responsible"), texts, named)


def _purposes() -> NoticeSection:
    return NoticeSection(
        "purposes",
        _("What the data is used for"),
        [
            _(
                "We use your e-mail address to send you the newsletters you subscribed to. The"
                " legal basis is your consent, which you give by ticking the box and confirming it"
                " through the link we send you."
            ),
            _(
                "We keep proof of consents, blocks of addresses and requests about rights because the law"
                " obliges us to be able to show that we obeyed it (GDPR art. 5(2), 7(1), 12)."
            ),
            _("Giving your address is voluntary, but without it we cannot send you a newsletter."),
        ],
    )


def _data() -> NoticeSection:
    return NoticeSection(
        "data",
        _("What is stored"),
        [_("The data comes from you yourself.")],
        [
            (
                _("Subscription"),
                _("E-mail address, the lists you chose, language, and when you subscribed and left"),
            ),
            (
                _("Proof of consent"),
                _("The words you agreed to, time, IP address, browser and the page of the form"),
            ),
            (_("Delivery"), _("Whether a newsletter was accepted by your mail server, and when")),
            (_("Requests"), _("What you asked about your data, when, and what we answered")),
        ],
    )


def _tracking() -> NoticeSection:
    texts = {
        "consent": _(
            "Opens and clicks are measured only if you allow it. Then the time, the address of the"
            " link, your IP address and your mail program are stored, for measuring how well our"
            " communication works and for nothing else. You can change your mind at any time on"
            " your own details page, and it works for newsletters already sent."
        ),
        "notice": _(
            "Opens and clicks are measured: the time, the address of the link, your IP address and"
            " your mail program are stored, for measuring how well our communication works and for"
            " nothing else. You can refuse at any time on your own details page, and it works for"
            " newsletters already sent."
        ),
        "aggregate": _(
            "If you allow it, opens and clicks are stored with the time, the address of the link,"
            " your IP address and your mail program. Otherwise we only count them, with nothing"
            " that points to you."
        ),
        "off": _("Opens and clicks are not measured."),
    }
    return NoticeSection("tracking", _("Open and click tracking"), [texts[current_settings().tracking]])


def _retention() -> NoticeSection:
    rows = [(line.what, f"{line.how_long}. {line.then}.") for line in schedule_lines()]
    return NoticeSection("retention", _("How long data is kept"), [], rows)


def _recipients() -> NoticeSection:
    named = current_settings().notice_recipients
    first = (
        _("We give data to: %(names)s", names=named)
        if named
        else _(
            "The data is not disclosed to others, and nothing on these pages is loaded from other services."
        )
    )
    return NoticeSection(
        "recipients",
        _("Who else gets the data"),
        [first, _("Only named members of staff with personal accounts can see it.")],
    )


def _transfers() -> NoticeSection:
    told = current_settings().notice_transfers
    text = (
        _("The data is not transferred outside the European Union and the European Economic Area.")
        if told == "none"
        else told
    )
    return NoticeSection("transfers", _("Transfers outside the EU and the EEA"), [text] if text else [])


def _protection() -> NoticeSection:
    return NoticeSection(
        "protection",
        _("How the data is protected"),
        [
            _(
                "Connections are encrypted. Staff have personal accounts, see only what their work needs,"
                " and every look at a person's data is recorded. Links in our mails are signed and hold"
                " no address. Erased data is overwritten, and backups cannot bring it back."
            )
        ],
    )


def _decisions() -> NoticeSection:
    return NoticeSection(
        "decisions",
        _("Automated decisions"),
        [_("No decisions are made automatically, and no profile is made of you.")],
    )


def _rights() -> NoticeSection:
    return NoticeSection(
        "rights",
        _("Your rights"),
        [
            _(
                "You can inspect, correct and erase your data, restrict or object to its use, get"
                " it in a portable form, and withdraw your consent at any time. The links in every"
                " newsletter lead to your own details. For anything else, write to the contact"
                " above; we answer within a month."
            ),
            _("There is also a form: %(url)s", url=f"{current_settings().base_url}/privacy/request"),
        ],
    )


def _authority() -> NoticeSection:
    return NoticeSection(
        "authority",
        _("Complaint and authority"),
        [
            _(
                "You can complain to the supervisory authority, in Finland the Data Protection"
                " Ombudsman (tietosuoja.fi)."
            ),
        ],
    )
