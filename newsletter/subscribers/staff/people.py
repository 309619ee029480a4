"""Subscribers for those who may see them: find, look, and end subscriptions at a person's wish."""

from typing import Any

import sqlalchemy as sa
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.db import db
from newsletter.errors import N_, NewsletterError
from newsletter.ledger import audit
from newsletter.staff.auth.access import actor, has_any_role, require_role
from newsletter.staff.models import Role
from newsletter.subscribers import search
from newsletter.subscribers.consent.evidence import Visit
from newsletter.subscribers.consent.tracking import in_words
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import MailingList, Subscriber, SubscriptionStatus
from newsletter.subscribers.objections import SCOPE_LABELS, objections_of
from newsletter.subscribers.queries import UnknownSubscriber
from newsletter.subscribers.self_service.unsubscribe import leave
from newsletter.web.app import client_ip, parse_id, user_agent, write_transaction
from newsletter.web.i18n import NATIVE_NAMES, translate

bp = Blueprint("people", __name__, url_prefix="/staff/subscribers")

PAGE = 50
LARGEST_ID = 2**31 - 1
STATUSES = {
    SubscriptionStatus.PENDING: N_("Not confirmed"),
    SubscriptionStatus.CONFIRMED: N_("Confirmed"),
    SubscriptionStatus.UNSUBSCRIBED: N_("Left"),
}


class NobodyChosen(NewsletterError):
    """A bulk act needs somebody."""

    message = N_("Choose at least one subscriber.")


@bp.get("/")
@require_role(Role.PRIVACY, Role.ADMIN)
@write_transaction
def browse() -> ResponseReturnValue:
    lists = all_lists()
    chosen = next((row for row in lists if row.slug == request.args.get("list")), None)
    status = next((kind for kind in STATUSES if kind.value == request.args.get("status")), None)
    after = min(max(request.args.get("after", 0, type=parse_id), 0), LARGEST_ID)
    found = search.browse_people(mailing_list=chosen, status=status, after=after, size=PAGE)
    filters: dict[str, Any] = {"list": chosen and chosen.slug, "status": status and status.value}
    next_url = url_for(".browse", **filters, after=found.next) if found.next else None
    return _page(found, lists, text="", chosen=chosen, status=status, next_url=next_url)


# By POST, so that the address stands in no URL, and so in no log and no history.
@bp.post("/")
@require_role(Role.PRIVACY, Role.ADMIN)
def find() -> ResponseReturnValue:
    text = search.cleaned(request.form.get("text", ""))
    if not text:
        return redirect(url_for(".browse"), 303)
    found = search.search_people(text, after=request.form.get("after", "")[:400], size=PAGE)
    return _page(found, all_lists(), text=text)


@bp.get("/<int:subscriber_id>")
@require_role(Role.PRIVACY, Role.ADMIN)
@write_transaction
def person(subscriber_id: int) -> ResponseReturnValue:
    people = _people([subscriber_id])
    if not people:
        raise UnknownSubscriber
    found = people[0]
    audit.record("subscriber shown", actor=actor(), now=utcnow(), object=f"subscriber:{found.id}")
    db.session.commit()
    return render_template(
        "staff/person.html",
        person=_row(found),
        tracking=translate(in_words(found.tracking)),
        created_at=found.created_at,
        restricted_at=found.restricted_at,
        objections=[
            translate(SCOPE_LABELS.get(scope, scope))
            for scope in objections_of([found.address_hash]).get(found.address_hash, [])
        ],
        may_see_bounces=has_any_role(Role.PRIVACY),
    )


@bp.post("/end")
@require_role(Role.PRIVACY, Role.ADMIN, fresh=True)
def end() -> ResponseReturnValue:
    """Ask, and with ``sure`` end the subscriptions of everybody chosen: to one list or to all."""
    people = _people(request.form.getlist("person", type=parse_id)[:PAGE])
    lists = all_lists()
    chosen = next((row for row in lists if row.slug == request.form.get("list")), None)
    if not people:
        raise NobodyChosen
    if request.form.get("sure") != "yes":
        return render_template("staff/end.html", people=[_row(row) for row in people], lists=lists)
    now = utcnow()
    visit = Visit(ip=client_ip(), user_agent=user_agent(), form_url=request.base_url)
    ended = sum(
        len(leave(row, [chosen.id] if chosen else None, now=now, method="staff", visit=visit))
        for row in people
    )
    audit.record("subscriptions ended", actor=actor(), now=now, people=len(people), ended=ended)
    db.session.commit()
    flash(_("Subscriptions ended: %(count)s", count=ended), "info")
    return redirect(url_for(".browse"), 303)


def _people(numbers: list[int]) -> list[Subscriber]:
    possible = [number for number in numbers if 0 < number <= LARGEST_ID]
    found = sa.select(Subscriber).where(Subscriber.id.in_(possible)).order_by(Subscriber.id)
    return list(db.session.scalars(found))


def _page(
    found: search.Found,
    lists: Any,  # noqa: ANN401 - rows for the template
    *,
    text: str,
    chosen: MailingList | None = None,
    status: SubscriptionStatus | None = None,
    next_url: str | None = None,
) -> str:
    audit.record("subscribers listed", actor=actor(), now=utcnow(), count=len(found.people))
    objecting = objections_of([row.address_hash for row in found.people])
    db.session.commit()
    return render_template(
        "staff/people.html",
        people=[_row(row) | {"objects": row.address_hash in objecting} for row in found.people],
        text=text,
        after=found.next if text else None,
        next_url=next_url,
        lists=lists,
        chosen=chosen.slug if chosen else "",
        status=status.value if status else "",
        statuses=[{"code": kind.value, "name": translate(name)} for kind, name in STATUSES.items()],
    )


def _row(found: Subscriber) -> dict[str, Any]:
    return {
        "id": found.id,
        "address": found.address,
        "language": NATIVE_NAMES[found.language],
        "since": found.created_at,
        "subscriptions": [
            {
                "list": row.mailing_list.name,
                "status": translate(STATUSES[row.status]),
                "code": row.status.value,
                "confirmed_at": row.confirmed_at,
                "unsubscribed_at": row.unsubscribed_at,
                "created_at": row.created_at,
            }
            for row in found.subscriptions
        ],
    }
