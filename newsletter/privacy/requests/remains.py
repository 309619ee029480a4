"""What is kept of an address when its person is not here: said exactly, and why (GDPR art. 11, 12).

All of it stands under the keyed hash. Only somebody who tells us the address can be told what it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa
from flask_babel import gettext as _

from newsletter.config import current_settings
from newsletter.db import db, execute_dml, insert_or_ignore
from newsletter.privacy.deadlines import end_of_year_after, local_day
from newsletter.privacy.models import JobSlot, RequestStatus, RightsRequest
from newsletter.subscribers.models import Consent, Suppression
from newsletter.subscribers.objections import SCOPE_LABELS, find_objections
from newsletter.web.i18n import format_date, translate

#: A request has been answered in these.
ANSWERED = (RequestStatus.DONE, RequestStatus.NOTHING_HELD, RequestStatus.REFUSED)


@dataclass(frozen=True, slots=True)
class Remains:
    """What is kept under the hash of an address."""

    #: The last day of the proof of consents; None where there is none.
    proof_until: date | None
    is_suppressed: bool
    objections: Sequence[str]

    def __bool__(self) -> bool:
        """Tell whether anything is kept but requests."""
        return self.proof_until is not None or self.is_suppressed or bool(self.objections)

    def in_words(self, now: datetime) -> list[str]:
        """Return a sentence for each kind, with the reason, in the language in force.

        The last is about the request that is answered now, which stays too.
        """
        said = []
        if self.proof_until is not None:
            said.append(
                _(
                    "Proof of what you agreed to and when, until %(date)s: we have to be able to show that we"
                    " had your consent (GDPR art. 7(1)).",
                    date=format_date(self.proof_until),
                )
            )
        if self.is_suppressed:
            said.append(_("A block of your address, so that we do not write to you again."))
        if self.objections:
            scopes = ", ".join(translate(SCOPE_LABELS.get(scope, scope)) for scope in self.objections)
            said.append(_("Your objections, so that we go on obeying them: %(scopes)s", scopes=scopes))
        last = _last_day(end_of_year_after(now, current_settings().keep_proof_years))
        said.append(
            _(
                "The number of your request, its dates and our answer, until %(date)s: we have to be able to"
                " show that we answered it.",
                date=format_date(last),
            )
        )
        return said


def find_remains(address_hash: str) -> Remains:
    """Return what is kept of an address under its hash."""
    until = db.session.scalar(
        sa.select(sa.func.max(Consent.keep_until)).where(Consent.address_hash == address_hash)
    )
    return Remains(
        proof_until=_last_day(until) if until else None,
        is_suppressed=db.session.get(Suppression, address_hash) is not None,
        objections=find_objections([address_hash]).get(address_hash, []),
    )


def forget_asker(request: RightsRequest, now: datetime) -> None:
    """Blank what identifies whoever made an answered request and is nobody here; its number and hash stay.

    The answer stays too: it names nobody, and may have to be printed again.
    """
    request.address = request.details = None
    _scrub_soon(now)


def forget_askers(address_hash: str, now: datetime) -> int:
    """Do as ``forget_asker`` for every answered request of an address; return how many there were."""
    blanked = execute_dml(
        sa.update(RightsRequest)
        .where(
            RightsRequest.address_hash == address_hash,
            RightsRequest.subscriber_id.is_(None),
            RightsRequest.status.in_(ANSWERED),
            sa.or_(RightsRequest.address.is_not(None), RightsRequest.details.is_not(None)),
        )
        .values(address=None, details=None)
    )
    if blanked:
        _scrub_soon(now)
    return blanked


def _scrub_soon(now: datetime) -> None:
    insert_or_ignore(JobSlot, {"job": "scrub", "slot": "due", "taken_at": now})


def _last_day(until: datetime) -> date:
    return local_day(until) - timedelta(days=1)
