"""The privacy notice, assembled from the settings that the program itself runs by."""

from dataclasses import dataclass, field

from flask_babel import gettext as _

from newsletter.config import settings


@dataclass(frozen=True, slots=True)
class Section:
    """One section: a heading, sentences, and terms with what they mean here."""

    id: str
    heading: str
    paragraphs: list[str]
    rows: list[tuple[str, str]] = field(default_factory=list)


def sections() -> list[Section]:
    """Return the notice in the language in force."""
    return [
        _controller(),
        _purposes(),
        _data(),
        _tracking(),
        _retention(),
        _recipients(),
        _rights(),
    ]


def _controller() -> Section:
    chosen = settings()
    rows = [
        (_("Controller"), chosen.sender_name),
        (_("Business ID"), chosen.sender_business_id),
        (_("Address"), chosen.sender_postal),
        (_("Contact in privacy matters"), chosen.privacy_contact or chosen.sender_address),
    ]
    named = [row for row in rows if row[1]]
    texts = [] if named else [_("The sender has not been named yet: this is a trial installation.")]
    return Section("controller", _("Who is responsible"), texts, named)


def _purposes() -> Section:
    return Section(
        "purposes",
        _("What the data is used for"),
        [
            _(
                "We use your e-mail address to send you the newsletters you subscribed to. The"
                " legal basis is your consent, which you give by ticking the box and confirming it"
                " through the link we send you."
            ),
            _("Giving your address is voluntary, but without it we cannot send you a newsletter."),
            _("No decisions are made automatically, and no profile is made of you."),
        ],
    )


def _data() -> Section:
    return Section(
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
        ],
    )


def _tracking() -> Section:
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
    return Section("tracking", _("Open and click tracking"), [texts[settings().tracking]])


def _retention() -> Section:
    return Section(
        "retention",
        _("How long data is kept"),
        [],
        [
            (
                _("A subscription not confirmed"),
                _("Erased when the link in the confirmation mail expires, in 7 days"),
            ),
            (_("A subscription"), _("For as long as you subscribe")),
            (_("After you have left"), _("Erased the next January, or at once if you ask for it")),
            (
                _("Opens, clicks and IP addresses"),
                _("Erased in the January after they were recorded"),
            ),
            (
                _("Proof that a consent was given"),
                _(
                    "%(years)s years after the erasure, without your address",
                    years=settings().keep_proof_years,
                ),
            ),
        ],
    )


def _recipients() -> Section:
    return Section(
        "recipients",
        _("Who else gets the data"),
        [
            _(
                "The data is not disclosed to others, and nothing on these pages is loaded from"
                " other services."
            ),
            _("Only named members of staff with personal accounts can see it."),
        ],
    )


def _rights() -> Section:
    return Section(
        "rights",
        _("Your rights"),
        [
            _(
                "You can inspect, correct and erase your data, restrict or object to its use, get"
                " it in a portable form, and withdraw your consent at any time. The links in every"
                " newsletter lead to your own details. For anything else, write to the contact"
                " above; we answer within a month."
            ),
            _(
                "You can complain to the supervisory authority, in Finland the Data Protection"
                " Ombudsman (tietosuoja.fi)."
            ),
        ],
    )
