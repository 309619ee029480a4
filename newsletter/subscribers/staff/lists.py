"""Staff page of lists: subscription counts, and creation of a list."""

from collections import defaultdict

import sqlalchemy as sa
from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_security import current_user

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.staff.auth.access import actor, allowed_lists, require_role
from newsletter.staff.models import Role
from newsletter.subscribers.lists import ListExists, ListInvalid, all_lists, create_list
from newsletter.subscribers.models import Subscription, SubscriptionStatus
from newsletter.web.i18n import NATIVE_NAMES, translate

bp = Blueprint("lists", __name__, url_prefix="/staff/lists")

FORM_FIELDS = ("slug", "name", "language", "topics", "frequency")


@bp.get("/")
@require_role(*Role, by_list=True)
def page() -> ResponseReturnValue:
    return _lists_page({})


@bp.post("/")
@require_role(Role.ADMIN)
def create() -> ResponseReturnValue:
    slug, name, language, topics, frequency = (
        request.form.get(name, "")[:500].strip() for name in FORM_FIELDS
    )
    try:
        made = create_list(
            slug=slug, name=name, language=language, topics=topics, frequency=frequency,
            now=utcnow(), actor=actor(),
        )  # fmt: skip
    except (ListInvalid, ListExists) as error:
        return _lists_page({"slug": translate(error.message, error.values)}), 422
    db.session.commit()
    flash(_("The list has been made: %(name)s", name=made.name), "info")
    return redirect(url_for(".page"), 303)


def _lists_page(errors: dict[str, str]) -> str:
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    counted = (
        sa.select(Subscription.list_id, Subscription.status, sa.func.count())
        .where(Subscription.status != SubscriptionStatus.UNSUBSCRIBED)
        .group_by(Subscription.list_id, Subscription.status)
    )
    for list_id, status, number in db.session.execute(counted):
        counts[list_id][status.value] = number
    return render_template(
        "staff/lists.html",
        lists=all_lists(allowed_lists()),
        counts=counts,
        names=NATIVE_NAMES,
        offered=current_settings().languages,
        may_make=current_user.role is Role.ADMIN,
        may_see=current_user.role in {Role.PRIVACY, Role.ADMIN},
        errors=errors,
        values={name: request.form.get(name, "") for name in FORM_FIELDS},
    )
