"""A person entered by staff, who asked on paper, by phone or face to face (SU-10)."""

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
from newsletter.subscribers.signup.manual import WAYS, AddressSuppressed, AskedBefore, enter
from newsletter.subscribers.signup.request import ListMissing
from newsletter.web.i18n import NATIVE_NAMES, language, supported_language, translate

bp = Blueprint("entry", __name__, url_prefix="/staff/subscribers/new")


class WayMissing(NewsletterError):
    """Nothing says how the person asked."""

    message = N_("Choose how the person asked for it.")


@dataclass
class _Form:
    """What was filled in, and what is wrong with it by field."""

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
    return _show(_Form(email="", lists=only, language=language(), way=""))


@bp.post("/")
@require_role(Role.PRIVACY, Role.ADMIN)
def enter_person() -> ResponseReturnValue:
    form = _Form(
        email=request.form.get("email", "")[:320],
        lists=request.form.getlist("lists"),
        language=supported_language(request.form.get("tongue", "")),
        way=request.form.get("way", ""),
    )
    _enter(form)
    if form.errors:
        return _show(form), 422
    db.session.commit()
    # Not the address: a flash message is kept in a cookie.
    flash(_("The confirmation mail is on its way; the subscription begins when it is answered."), "info")
    return redirect(url_for(".page"), 303)


def _enter(form: _Form) -> None:
    try:
        chosen = get_lists(form.lists)
    except UnknownList as error:
        form.errors["lists"] = translate(error.message, error.values)
    else:
        if not chosen:
            form.errors["lists"] = translate(ListMissing.message)
    if form.way not in WAYS:
        form.errors["way"] = translate(WayMissing.message)
    if form.errors:
        return
    try:
        enter(form.email, chosen, language=form.language, way=form.way, now=utcnow(), actor=actor())
    except (AddressInvalid, AddressSuppressed, AskedBefore) as error:
        form.errors["email"] = translate(error.message, error.values)


def _show(form: _Form) -> str:
    return render_template(
        "staff/enter.html",
        form=form,
        lists=all_lists(),
        ways=[(code, translate(name)) for code, name in WAYS.items()],
        tongues=[(code, NATIVE_NAMES[code]) for code in current_settings().languages],
    )
