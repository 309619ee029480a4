"""The rights desk for staff: the register of requests, and one press for each answer."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import settings
from newsletter.db import db
from newsletter.errors import NewsletterError
from newsletter.ledger import audit
from newsletter.privacy.deadlines import local_day
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests import disclosures, fulfil, recipients, register
from newsletter.privacy.requests.rectification import Corrections, state_of_address
from newsletter.privacy.retention.daily import late
from newsletter.staff.auth.access import actor, needs
from newsletter.staff.models import Role
from newsletter.web.app import writing
from newsletter.web.i18n import NATIVE_NAMES, format_datetime, translate

bp = Blueprint("privacy_desk", __name__, url_prefix="/staff/privacy")
_guard = needs(Role.PRIVACY, Role.ADMIN)
#: Before what leaves the house or cannot be taken back.
_guard_again = needs(Role.PRIVACY, Role.ADMIN, fresh=True)


@bp.get("")
@_guard
def office() -> ResponseReturnValue:
    everything = request.args.get("all") == "1"
    now = utcnow()
    return render_template(
        "staff/privacy/office.html",
        requests=[_row(item) for item in register.list_requests(everything=everything)],
        everything=everything,
        late=late(now),
        holds=disclosures.standing_holds(),
        tasks=recipients.open_tasks(),
        reasons={code: translate(words) for code, words in register.REASONS.items()},
    )


@bp.get("/requests/new")
@_guard
def new() -> ResponseReturnValue:
    return _form({}, 200)


@bp.post("/requests/new")
@_guard
def enter() -> ResponseReturnValue:
    posted = request.form
    try:
        made = register.receive(
            RequestKind(posted.get("kind", "")),
            posted.get("address", ""),
            channel=_one_of(register.BY_STAFF, posted.get("channel", "")),
            language=_one_of(settings().languages, posted.get("letter_language", "")),
            now=utcnow(),
            actor=actor(),
            details=posted.get("details", ""),
            scopes=posted.getlist("scopes"),
        )
    except ValueError:
        return _form({"kind": _("Choose what the person asks for.")}, 422)
    except NewsletterError as error:
        field = "scopes" if isinstance(error, register.ScopeMissing) else "address"
        return _form({field: translate(error.message, error.values)}, 422)
    db.session.commit()
    return redirect(url_for("privacy_desk.show", number=made.id), 303)


@bp.get("/requests/<int:number>")
@_guard
@writing
def show(number: int) -> ResponseReturnValue:
    found = register.get_request(number)
    audit.record("request read", actor=actor(), now=utcnow(), object=f"request:{number}")
    db.session.commit()
    return render_template(
        "staff/privacy/request.html",
        request=found,
        row=_row(found),
        scopes=[
            translate(register.SCOPES[scope]) for scope in found.scopes.split(",") if scope in register.SCOPES
        ],
        reasons={code: translate(words) for code, words in register.REASONS.items()},
        tongues={code: NATIVE_NAMES[code] for code in settings().languages},
        told=recipients.tasks_of(number),
        right_address=_right_address(found),
        can_extend=found.extended_at is None and local_day(utcnow()) <= found.due_on,
        is_open=found.status is RequestStatus.OPEN,
    )


@bp.post("/requests/<int:number>/carry-out")
@_guard_again
def carry_out(number: int) -> ResponseReturnValue:
    posted = request.form
    right = Corrections(
        address=posted.get("address", ""),
        language=posted.get("right_language", ""),
        refuses_tracking=posted.get("tracking") == "refused",
        statement=posted.get("statement", ""),
    )
    fulfil.carry_out(number, now=utcnow(), actor=actor(), reply_by=_reply_by(), right=right)
    return _back(number, _("The request has been carried out."))


@bp.post("/requests/<int:number>/refuse")
@_guard_again
def refuse(number: int) -> ResponseReturnValue:
    posted = request.form
    fulfil.refuse(
        number,
        posted.get("reason", ""),
        posted.get("text", ""),
        now=utcnow(),
        actor=actor(),
        reply_by=_reply_by(),
    )
    return _back(number, _("The request has been refused. Print the certificate if the person wants paper."))


@bp.post("/requests/<int:number>/extend")
@_guard_again
def extend(number: int) -> ResponseReturnValue:
    fulfil.extend(number, request.form.get("text", ""), now=utcnow(), actor=actor())
    return _back(number, _("The person has been told that it takes longer."))


@bp.post("/requests/<int:number>/lift")
@_guard_again
def lift(number: int) -> ResponseReturnValue:
    fulfil.lift_restriction(number, now=utcnow(), actor=actor())
    return _back(number, _("The person has been told, and the restriction is lifted."))


@bp.get("/requests/<int:number>/letter")
@_guard
@writing
def letter(number: int) -> ResponseReturnValue:
    found = register.get_request(number)
    audit.record("letter read", actor=actor(), now=utcnow(), object=f"request:{number}")
    db.session.commit()
    return render_template("staff/privacy/letter.html", request=found, row=_row(found))


def _right_address(found: RightsRequest) -> str | None:
    state = state_of_address(found, utcnow())
    if state is None:
        return None
    words, moment = state
    return translate(words, {"time": format_datetime(moment)} if moment else {})


def _reply_by() -> str:
    return _one_of(("mail", "print"), request.form.get("reply_by", ""))


def _one_of(choices: tuple[str, ...], given: str) -> str:
    return given if given in choices else choices[0]


def _back(number: int, words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("privacy_desk.show", number=number), 303)


def _row(item: RightsRequest) -> dict[str, object]:
    waits = item.status is RequestStatus.OPEN
    return {
        "id": item.id,
        "kind": translate(register.KINDS[item.kind]),
        "status": translate(register.STATUSES[item.status]),
        "channel": translate(register.CHANNELS.get(item.channel, item.channel)),
        "address": item.address,
        "received_at": item.received_at,
        "due_on": item.due_on,
        "is_overdue": waits and item.due_on < local_day(utcnow()),
        "language": NATIVE_NAMES.get(item.language, item.language),
    }


def _form(errors: dict[str, str], status: int) -> ResponseReturnValue:
    page = render_template(
        "staff/privacy/new_request.html",
        errors=errors,
        posted=request.form,
        chosen=request.form.getlist("scopes"),
        kinds={kind.value: translate(words) for kind, words in register.KINDS.items()},
        scopes={scope: translate(words) for scope, words in register.SCOPES.items()},
        channels={code: translate(register.CHANNELS[code]) for code in register.BY_STAFF},
        tongues={code: NATIVE_NAMES[code] for code in settings().languages},
    )
    return page, status
