"""Staff page that signs up a person who asked on paper, by phone or face to face (SU-10)."""

from dataclasses import dataclass, field

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, AddressInvalid, NewsletterError
from newsletter.staff.auth.access import actor, require_role
from newsletter.staff.models import Role
from newsletter.subscribers.lists import UnknownList, all_lists, get_lists
from newsletter.subscribers.signup.manual import (
    CONSENT_METHODS,
    AddressSuppressed,
    AskedBefore,
    sign_up_for_person,
)
from newsletter.subscribers.signup.request import ListMissing
from newsletter.web.i18n import NATIVE_NAMES, language, supported_language, translate

bp = Blueprint("entry", __name__, url_prefix="/staff/subscribers/new")


class WayMissing(NewsletterError):
    """The form does not say how the person asked."""

    message = N_("Choose how the person asked for it.")


@dataclass
class _FormState:
    """The submitted values and the errors by field."""

    email: str
    lists: list[str]
    language: str
    way: str
    errors: dict[str, str] = field(default_factory=dict)


@bp.get("/")
@require_role(Role.PRIVACY, Role.ADMIN)
def page() -> ResponseReturnValue:
    lists = all_lists()
    only = [lists[0].slug] if len(lists) == 1 else []
    return _render_page(_FormState(email="", lists=only, language=language(), way=""))


@bp.post("/")
@require_role(Role.PRIVACY, Role.ADMIN)
def enter_person() -> ResponseReturnValue:
    form = _FormState(
        email=request.form.get("email", "")[:320],
        lists=request.form.getlist("lists"),
        language=supported_language(request.form.get("tongue", "")),
        way=request.form.get("way", ""),
    )
    _enter(form)
    if form.errors:
        return _render_page(form), 422
    db.session.commit()
    # Not the address: a flash message is kept in a cookie.
    flash(_("The confirmation mail is on its way; the subscription begins when it is answered."), "info")
    return redirect(url_for(".page"), 303)


def _enter(form: _FormState) -> None:
    try:
        chosen = get_lists(form.lists)
    except UnknownList as error:
        form.errors["lists"] = translate(error.message, error.values)
    else:
        if not chosen:
            form.errors["lists"] = translate(ListMissing.message)
    if form.way not in CONSENT_METHODS:
        form.errors["way"] = translate(WayMissing.message)
    if form.errors:
        return
    try:
        sign_up_for_person(
            form.email, chosen, language=form.language, way=form.way, now=utcnow(), actor=actor()
        )
    except (AddressInvalid, AddressSuppressed, AskedBefore) as error:
        form.errors["email"] = translate(error.message, error.values)


def _render_page(form: _FormState) -> str:
    return render_template(
        "staff/enter.html",
        form=form,
        lists=all_lists(),
        ways=[(code, translate(name)) for code, name in CONSENT_METHODS.items()],
        tongues=[(code, NATIVE_NAMES[code]) for code in current_settings().languages],
    )
