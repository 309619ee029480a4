"""Staff pages for administrators: who may log in, with which role and to which lists."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_security import current_user

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.db import db
from newsletter.errors import N_, AddressInvalid, NewsletterError
from newsletter.staff import accounts as domain
from newsletter.staff import list_access
from newsletter.staff.auth import two_factor
from newsletter.staff.auth.access import actor, require_role
from newsletter.staff.models import LIMITABLE_ROLES, Role, Staff
from newsletter.staff.views.account import ROLE_LABELS
from newsletter.web.i18n import language, translate

bp = Blueprint("staff_admin", __name__, url_prefix="/staff/accounts")

#: What each level may do, in a sentence.
ROLE_DESCRIPTIONS = {
    Role.VIEWER: N_("Sees figures, and no personal data."),
    Role.EDITOR: N_("Writes newsletters."),
    Role.SENDER: N_("Writes newsletters and sends them."),
    Role.PRIVACY: N_("Sees people, answers their requests and proves their consent."),
    Role.ADMIN: N_("Lets people in and does everything else."),
}


class OwnAccountRefused(NewsletterError):
    """Nobody should lock themselves out by a slip."""

    message = N_("You cannot change your own level or close your own account. Ask another administrator.")


class UnknownRole(NewsletterError):
    """Not a level of ours."""

    message = N_("Choose a user level.")


@bp.get("/")
@require_role(Role.ADMIN)
def accounts() -> ResponseReturnValue:
    return _accounts_page({})


@bp.post("/")
@require_role(Role.ADMIN, fresh=True)
def invite() -> ResponseReturnValue:
    address = request.form.get("address", "")[:320]
    try:
        role = _posted_role()
        lists = list_access.validate_lists(role, _posted_lists())
        domain.invite_by_mail(
            role, address=address, lists=lists, now=utcnow(), actor=actor(), language=language()
        )
    except UnknownRole as error:
        return _accounts_page({"role": translate(error.message)}), 422
    except (list_access.NotLimitable, list_access.ListsMissing) as error:
        return _accounts_page({"lists": translate(error.message)}), 422
    except (AddressInvalid, domain.AccountExists) as error:
        return _accounts_page({"address": translate(error.message)}), 422
    db.session.commit()
    flash(_("The invitation is on its way to: %(address)s", address=address.strip()), "info")
    return redirect(url_for(".accounts"), 303)


@bp.get("/<int:number>")
@require_role(Role.ADMIN)
def account(number: int) -> ResponseReturnValue:
    return _account_page(domain.get_account(number, lock=False), {})


@bp.post("/<int:number>/level")
@require_role(Role.ADMIN, fresh=True)
def change_level(number: int) -> ResponseReturnValue:
    found = _get_other_account(number)
    domain.change_role(found, _posted_role(), now=utcnow(), actor=actor())
    return _commit_and_redirect(_("The level has been changed, and the person has been logged out."), number)


@bp.post("/<int:number>/lists")
@require_role(Role.ADMIN, fresh=True)
def change_lists(number: int) -> ResponseReturnValue:
    found = _get_other_account(number)
    try:
        list_access.limit_to_lists(found, _posted_lists(), now=utcnow(), actor=actor())
    except (list_access.NotLimitable, list_access.ListsMissing) as error:
        db.session.rollback()
        return _account_page(found, {"lists": translate(error.message)}), 422
    return _commit_and_redirect(_("The lists have been changed, and the person has been logged out."), number)


@bp.post("/<int:number>/close")
@require_role(Role.ADMIN, fresh=True)
def close(number: int) -> ResponseReturnValue:
    domain.close_account(_get_other_account(number), now=utcnow(), actor=actor())
    return _commit_and_redirect(
        _("The account has been closed. Nobody is signed in with it any more."), number
    )


@bp.post("/<int:number>/reopen")
@require_role(Role.ADMIN, fresh=True)
def reopen(number: int) -> ResponseReturnValue:
    domain.reopen_account(domain.get_account(number), now=utcnow(), actor=actor())
    return _commit_and_redirect(_("The account is open again."), number)


@bp.post("/<int:number>/reset")
@require_role(Role.ADMIN, fresh=True)
def reset(number: int) -> ResponseReturnValue:
    domain.send_password_reset(domain.get_account(number), now=utcnow(), actor=actor(), language=language())
    return _commit_and_redirect(_("A link for a new password is on its way to the person."), number)


@bp.post("/<int:number>/second-step")
@require_role(Role.ADMIN, fresh=True)
def forget_second_step(number: int) -> ResponseReturnValue:
    found, now = _get_other_account(number), utcnow()
    two_factor.disable(found, now=now, actor=actor())
    domain.sign_out_everywhere(found, now=now)
    domain.notify_owner(found, "second_step_removed", now=now)
    return _commit_and_redirect(_("The second step has been removed. The person can set it up anew."), number)


@bp.post("/<int:number>/sign-out")
@require_role(Role.ADMIN, fresh=True)
def sign_out(number: int) -> ResponseReturnValue:
    domain.sign_out_everywhere(_get_other_account(number), now=utcnow())
    return _commit_and_redirect(_("The person has been logged out everywhere."), number)


def _commit_and_redirect(message: str, number: int) -> ResponseReturnValue:
    db.session.commit()
    flash(message, "info")
    return redirect(url_for(".account", number=number), 303)


def _get_other_account(number: int) -> Staff:
    if number == current_user.id:
        raise OwnAccountRefused
    return domain.get_account(number)


def _posted_role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError:
        raise UnknownRole from None


def _posted_lists() -> list[str] | None:
    """Return the lists chosen; None for all."""
    return None if request.form.get("reach", "all") == "all" else request.form.getlist("lists")


def _role_choices() -> list[dict[str, str]]:
    return [
        {"code": role.value, "name": translate(ROLE_LABELS[role]), "hint": translate(ROLE_DESCRIPTIONS[role])}
        for role in Role
    ]


def _account_row(found: Staff) -> dict[str, Any]:
    return {
        "id": found.id,
        "email": found.email,
        "role": found.role.value,
        "level": translate(ROLE_LABELS[found.role]),
        "lists": list_access.allowed_list_names(found),
        "slugs": found.lists,
        "can_be_limited": found.role in LIMITABLE_ROLES,
        "is_open": found.active,
        "is_cleared": found.cleared_at is not None,
        "has_second_step": found.has_second_step,
        "undertaken_at": found.undertaken_at,
        "created_at": found.created_at,
    }


def _account_page(found: Staff, errors: dict[str, str]) -> str:
    slugs = request.form.getlist("lists") if errors else found.lists
    return render_template(
        "staff/account_of.html",
        account=_account_row(found),
        levels=_role_choices(),
        is_me=found.id == current_user.id,
        lists=list_access.list_choices(),
        chosen=slugs or [],
        reach="all" if slugs is None else "some",
        keep_months=current_settings().keep_audit_months,
        errors=errors,
    )


def _accounts_page(errors: dict[str, str]) -> str:
    return render_template(
        "staff/accounts.html",
        accounts=[_account_row(found) for found in domain.list_accounts()],
        invitations=[
            {
                "address": invitation.address,
                "level": translate(ROLE_LABELS[invitation.role]),
                "lists": list_access.allowed_list_names(invitation),
                "expires_at": invitation.expires_at,
            }
            for invitation in domain.list_open_invitations(utcnow())
        ],
        levels=_role_choices(),
        lists=list_access.list_choices(),
        chosen=request.form.getlist("lists"),
        reach=request.form.get("reach", "all"),
        errors=errors,
        values={"address": request.form.get("address", ""), "role": request.form.get("role", "viewer")},
    )
