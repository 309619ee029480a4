"""Staff pages of the register of rights requests: list, enter, read, and one action for each outcome."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import NewsletterError
from newsletter.ledger import audit
from newsletter.privacy.deadlines import local_day
from newsletter.privacy.models import RequestKind, RequestStatus, RightsRequest
from newsletter.privacy.requests import disclosures, fulfil, recipients, register
from newsletter.privacy.requests.rectification import Corrections, address_confirmation_status
from newsletter.privacy.retention.daily import count_overdue
from newsletter.staff.auth.access import actor, require_role
from newsletter.staff.models import Role
from newsletter.web.app import write_transaction
from newsletter.web.i18n import NATIVE_NAMES, format_datetime, translate

bp = Blueprint("privacy_desk", __name__, url_prefix="/staff/privacy")
_guard = require_role(Role.PRIVACY, Role.ADMIN)
#: Before what leaves the house or cannot be taken back.
_guard_fresh = require_role(Role.PRIVACY, Role.ADMIN, fresh=True)


@bp.get("")
@_guard
def office() -> ResponseReturnValue:
    everything = request.args.get("all") == "1"
    now = utcnow()
    return render_template(
        "staff/privacy/office.html",
        requests=[_request_row(item) for item in register.list_requests(everything=everything)],
        everything=everything,
        late=count_overdue(now),
        holds=disclosures.active_holds(),
        tasks=recipients.list_open_tasks(),
        reasons={code: translate(words) for code, words in register.REFUSAL_REASONS.items()},
    )


@bp.get("/requests/new")
@_guard
def new() -> ResponseReturnValue:
    return _new_request_page({}, 200)


@bp.post("/requests/new")
@_guard
def enter() -> ResponseReturnValue:
    posted = request.form
    try:
        made = register.record_request(
            RequestKind(posted.get("kind", "")),
            posted.get("address", ""),
            channel=_one_of(register.STAFF_CHANNELS, posted.get("channel", "")),
            language=_one_of(current_settings().languages, posted.get("letter_language", "")),
            now=utcnow(),
            actor=actor(),
            details=posted.get("details", ""),
            scopes=posted.getlist("scopes"),
        )
    except ValueError:
        return _new_request_page({"kind": _("Choose what the person asks for.")}, 422)
    except NewsletterError as error:
        field = "scopes" if isinstance(error, register.ScopeMissing) else "address"
        return _new_request_page({field: translate(error.message, error.values)}, 422)
    db.session.commit()
    return redirect(url_for("privacy_desk.show", number=made.id), 303)


@bp.get("/requests/<int:number>")
@_guard
@write_transaction
def show(number: int) -> ResponseReturnValue:
    found = register.get_request(number)
    audit.record("request read", actor=actor(), now=utcnow(), object=f"request:{number}")
    db.session.commit()
    return render_template(
        "staff/privacy/request.html",
        request=found,
        row=_request_row(found),
        scopes=[
            translate(register.SCOPE_LABELS[scope])
            for scope in found.scopes.split(",")
            if scope in register.SCOPE_LABELS
        ],
        reasons={code: translate(words) for code, words in register.REFUSAL_REASONS.items()},
        tongues={code: NATIVE_NAMES[code] for code in current_settings().languages},
        told=recipients.list_tasks(number),
        right_address=_address_confirmation(found),
        can_extend=found.extended_at is None and local_day(utcnow()) <= found.due_on,
        is_open=found.status is RequestStatus.OPEN,
    )


@bp.post("/requests/<int:number>/carry-out")
@_guard_fresh
def carry_out(number: int) -> ResponseReturnValue:
    posted = request.form
    corrections = Corrections(
        address=posted.get("address", ""),
        language=posted.get("right_language", ""),
        refuses_tracking=posted.get("tracking") == "refused",
        statement=posted.get("statement", ""),
    )
    fulfil.fulfil_request(number, now=utcnow(), actor=actor(), reply_by=_reply_by(), corrections=corrections)
    return _redirect_to_request(number, _("The request has been carried out."))


@bp.post("/requests/<int:number>/refuse")
@_guard_fresh
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
    return _redirect_to_request(
        number, _("The request has been refused. Print the certificate if the person wants paper.")
    )


@bp.post("/requests/<int:number>/extend")
@_guard_fresh
def extend(number: int) -> ResponseReturnValue:
    fulfil.extend(number, request.form.get("text", ""), now=utcnow(), actor=actor())
    return _redirect_to_request(number, _("The person has been told that it takes longer."))


@bp.post("/requests/<int:number>/lift")
@_guard_fresh
def lift(number: int) -> ResponseReturnValue:
    fulfil.lift_restriction(number, now=utcnow(), actor=actor())
    return _redirect_to_request(number, _("The person has been told, and the restriction is lifted."))


@bp.get("/requests/<int:number>/letter")
@_guard
@write_transaction
def letter(number: int) -> ResponseReturnValue:
    found = register.get_request(number)
    audit.record("letter read", actor=actor(), now=utcnow(), object=f"request:{number}")
    db.session.commit()
    return render_template("staff/privacy/letter.html", request=found, row=_request_row(found))


def _address_confirmation(found: RightsRequest) -> str | None:
    state = address_confirmation_status(found, utcnow())
    if state is None:
        return None
    words, moment = state
    return translate(words, {"time": format_datetime(moment)} if moment else {})


def _reply_by() -> str:
    return _one_of(("mail", "print"), request.form.get("reply_by", ""))


def _one_of(choices: tuple[str, ...], given: str) -> str:
    return given if given in choices else choices[0]


def _redirect_to_request(number: int, words: str) -> ResponseReturnValue:
    flash(words)
    return redirect(url_for("privacy_desk.show", number=number), 303)


def _request_row(item: RightsRequest) -> dict[str, object]:
    waits = item.status is RequestStatus.OPEN
    return {
        "id": item.id,
        "kind": translate(register.KIND_LABELS[item.kind]),
        "status": translate(register.STATUS_LABELS[item.status]),
        "channel": translate(register.CHANNEL_LABELS.get(item.channel, item.channel)),
        "address": item.address,
        "received_at": item.received_at,
        "due_on": item.due_on,
        "is_overdue": waits and item.due_on < local_day(utcnow()),
        "language": NATIVE_NAMES.get(item.language, item.language),
    }


def _new_request_page(errors: dict[str, str], status: int) -> ResponseReturnValue:
    page = render_template(
        "staff/privacy/new_request.html",
        errors=errors,
        posted=request.form,
        chosen=request.form.getlist("scopes"),
        kinds={kind.value: translate(words) for kind, words in register.KIND_LABELS.items()},
        scopes={scope: translate(words) for scope, words in register.SCOPE_LABELS.items()},
        channels={code: translate(register.CHANNEL_LABELS[code]) for code in register.STAFF_CHANNELS},
        tongues={code: NATIVE_NAMES[code] for code in current_settings().languages},
    )
    return page, status
