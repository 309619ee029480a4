"""The retention schedule: what is kept, how long, since when, and what happens then (GDPR Art. 5(1)(e)).

A personal column names its rule where it is declared, as ``info=personal_data(retention.EVENTS)``, so the
code, the staff page, the privacy notice and ``newsletter privacy schedule`` cannot say different things.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from newsletter.config import Settings
from newsletter.db import PERSONAL
from newsletter.errors import N_

#: An unconfirmed request may be confirmed for this long; a day later at most it is gone (RP-6).
PENDING_DAYS = 7
#: A link to the mailbox is remembered this long.
LINK_DAYS = 1
#: The one that confirms an address put right at the rights desk, as long as the link of a signup.
DESK_LINK_DAYS = 7
#: Ended sessions tell a member of staff where they were logged in; then they are forgotten.
SESSION_DAYS = 90


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """One line of the register; each sentence is English and the key of its translation."""

    key: str
    what: str
    how_long: str
    since: str
    then: str
    #: The numbers in ``how_long``, from the settings the program itself runs by.
    values: Callable[[Settings], dict[str, object]] = lambda _chosen: {}
    #: False for what concerns only staff and operators: it stands in no notice to subscribers.
    is_public: bool = True


SUBSCRIPTION = RetentionRule(
    "subscription",
    N_("A subscription: address, lists, language and choices"),
    N_("While you subscribe, and until the next January"),
    N_("The day you left, your mailbox refused our mail for good, or you reported it as spam"),
    N_("Erased in the January purge, or at once if you ask for it"),
)
REQUEST = RetentionRule(
    "request",
    N_("A subscription not confirmed"),
    N_("%(days)s days"),
    N_("The day it was asked for"),
    N_("Erased within a day; at once when it is cancelled"),
    lambda _chosen: {"days": PENDING_DAYS},
)
EVIDENCE = RetentionRule(
    "evidence",
    N_("Evidence of consent: page, IP address and browser"),
    N_("As long as the subscription it proves"),
    N_("The day you left"),
    N_("Erased with the subscription; what proves the consent without pointing to you stays"),
)
PROOF = RetentionRule(
    "proof",
    N_("Proof that a consent was given, without your address"),
    N_("Until the end of year %(years)s after the erasure"),
    N_("The erasure"),
    N_("Deleted in the January purge"),
    lambda chosen: {"years": chosen.keep_proof_years},
)
SUPPRESSION = RetentionRule(
    "suppression",
    N_("A block of your address, as a keyed hash"),
    N_("Until you subscribe anew or we lift it"),
    N_("The day it was set"),
    N_("Deleted"),
)
DELIVERY = RetentionRule(
    "delivery",
    N_("Newsletters sent to you, and whether they were accepted"),
    N_("As long as the subscription"),
    N_("The day you left"),
    N_("Deleted in the January purge; totals stay as plain numbers"),
)
EVENTS = RetentionRule(
    "events",
    N_("Opens and clicks"),
    N_("Until the next January"),
    N_("The year of the open or click"),
    N_("Deleted in the January purge; totals stay as plain numbers"),
)
IP_ADDRESS = RetentionRule(
    "ip",
    N_("IP addresses of opens and clicks"),
    N_("%(days)s days in full, cut to the network after that"),
    N_("The open or click"),
    N_("Deleted in the January purge"),
    lambda chosen: {"days": chosen.ip_days},
)
MAIL = RetentionRule(
    "mail",
    N_("Single mails, such as the confirmation"),
    N_("Until the receiving server has answered, four days at most"),
    N_("The day it was written"),
    N_("Address and content are blanked"),
)
LINK = RetentionRule(
    "link",
    N_("Links to your mailbox, such as for a change of address"),
    N_("%(days)s day; %(longer)s days where we put an address right"),
    N_("The day it was asked for"),
    N_("Deleted"),
    lambda _chosen: {"days": LINK_DAYS, "longer": DESK_LINK_DAYS},
)
RAW_BOUNCE = RetentionRule(
    "bounce",
    N_("Bounce messages as they came"),
    N_("%(days)s days"),
    N_("The day it came"),
    N_("Deleted"),
    lambda chosen: {"days": chosen.keep_bounces_days},
)
DESK = RetentionRule(
    "desk",
    N_("Requests about your rights, and what we answered"),
    N_("Until the end of year %(years)s after the answer"),
    N_("The answer"),
    N_("Deleted in the January purge; after an erasure only a keyed hash of the address stands there"),
    lambda chosen: {"years": chosen.keep_proof_years},
)
DISCLOSURE = RetentionRule(
    "disclosure",
    N_("To whom data about you was disclosed"),
    N_("As long as the subscription"),
    N_("The day you left"),
    N_("Erased with the subscription"),
)
TOLD = RetentionRule(
    "told",
    N_("Letters to those who received data about you, so that they correct or erase it too"),
    N_("Until they have been told"),
    N_("Your request"),
    N_("Blanked"),
)
HOLD = RetentionRule(
    "hold",
    N_("A reason why data must be kept, such as an open invoice"),
    N_("While the reason lasts"),
    N_("The day it was noted"),
    N_("Erased with the subscription"),
)
AUDIT = RetentionRule(
    "audit",
    N_("Log of what was done to personal data, and by whom"),
    N_("%(months)s months"),
    N_("The day of the act"),
    N_("Deleted"),
    lambda chosen: {"months": chosen.keep_audit_months},
)
LOGS = RetentionRule(
    "logs",
    N_("Log files of the servers"),
    N_("%(days)s days"),
    N_("The day of the line"),
    N_("Deleted; they hold no addresses of persons and no IP addresses"),
    lambda chosen: {"days": chosen.keep_logs_days},
)
BACKUP = RetentionRule(
    "backup",
    N_("Backups, and the journal that keeps them from undoing what people have asked for since"),
    N_("%(days)s days"),
    N_("The day of the backup"),
    N_("Deleted"),
    lambda chosen: {"days": chosen.keep_backups_days},
)
STAFF = RetentionRule(
    "staff",
    N_("Staff accounts: address, and what proves who logs in"),
    N_("While the person works here, and then as long as the log of what they did: %(months)s months"),
    N_("The day the account was closed"),
    N_("Blanked; the log keeps the number of the account alone"),
    lambda chosen: {"months": chosen.keep_audit_months},
    is_public=False,
)
STAFF_SESSION = RetentionRule(
    "staff_session",
    N_("Where staff were logged in: the browser, and the network as a keyed hash"),
    N_("%(days)s days"),
    N_("The day they logged in"),
    N_("Deleted"),
    lambda _chosen: {"days": SESSION_DAYS},
    is_public=False,
)
INVITATION = RetentionRule(
    "invitation",
    N_("Invitations of staff"),
    N_("One day"),
    N_("The invitation"),
    N_("Deleted within a day"),
    is_public=False,
)
RUN = RetentionRule(
    "run",
    N_("Whose turn it is in a purge under way"),
    N_("While the purge runs"),
    N_("Its beginning"),
    N_("Deleted"),
    is_public=False,
)

RULES = (
    SUBSCRIPTION,
    REQUEST,
    EVIDENCE,
    PROOF,
    SUPPRESSION,
    DELIVERY,
    EVENTS,
    IP_ADDRESS,
    MAIL,
    LINK,
    RAW_BOUNCE,
    DESK,
    DISCLOSURE,
    TOLD,
    HOLD,
    AUDIT,
    LOGS,
    BACKUP,
    STAFF,
    STAFF_SESSION,
    INVITATION,
    RUN,
)


def personal_data(rule: RetentionRule) -> dict[Any, Any]:
    """Return the ``info`` of a column with personal data that is kept under a rule."""
    return PERSONAL | {"retention": rule}


def person_reference(rule: RetentionRule) -> dict[Any, Any]:
    """Return the ``info`` of a column that only refers to a person, deleted under a rule."""
    return {"retention": rule}
