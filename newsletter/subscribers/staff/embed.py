"""The embeddable signup form: the staff page that generates its code, and what that code fetches."""

from collections.abc import Sequence
from urllib.parse import urlencode

from flask import Blueprint, abort, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.staff.auth.access import allowed_lists, require_role
from newsletter.staff.models import Role
from newsletter.subscribers.consent.texts import get_consent_text
from newsletter.subscribers.consent.tracking import tracking_question
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import FunnelStep, MailingList, Purpose
from newsletter.subscribers.signup import funnel
from newsletter.subscribers.signup.browser_cookie import is_user_navigation
from newsletter.web.app import allow_cors, allow_frames
from newsletter.web.i18n import NATIVE_NAMES, force_language, language

bp = Blueprint("embedding", __name__)

#: The kinds of embed code, simplest first.
EMBED_KINDS = ("form", "frame", "script")


@bp.get("/subscribe/form")
def form() -> ResponseReturnValue:
    """Return the bare form for embed.js, so that a form on another site shows the current consent text."""
    lists = _selected_lists(request.args.getlist("lists"))
    if is_user_navigation():
        host = funnel.host_of_url(request.headers.get("Origin", request.base_url))
        funnel.buffer_view(FunnelStep.SHOWN, lists, language=language(), form_host=host, now=utcnow())
    return allow_cors(make_response(_render_form(lists, language(), script=True)))


@bp.get("/staff/embed")
@require_role(*Role, by_list=True)
def embed() -> ResponseReturnValue:
    own = all_lists(allowed_lists())
    chosen = [item.slug for item in own]
    asked = "form_language" in request.args
    if asked:
        chosen = request.args.getlist("lists")
    lists, spoken = [item for item in own if item.slug in chosen], _form_language()
    return render_template(
        "staff/embed.html",
        all_lists=own,
        chosen=chosen,
        errors={"lists"} if asked and not lists else set(),
        form_languages=[{"code": code, "name": NATIVE_NAMES[code]} for code in current_settings().languages],
        form_language=spoken,
        codes={kind: _embed_code(kind, lists, spoken) for kind in EMBED_KINDS} if lists else {},
        previews={kind: _preview_url(kind, lists, spoken) for kind in EMBED_KINDS},
        origins=current_settings().embed_origins,
    )


@bp.get("/staff/embed/preview/<kind>")
@require_role(*Role, by_list=True)
def preview(kind: str) -> ResponseReturnValue:
    if kind not in EMBED_KINDS:
        abort(404)
    lists = _selected_lists(request.args.getlist("lists"), allowed_lists())
    spoken = _form_language()
    page = render_template("staff/embed_preview.html", code=_embed_code(kind, lists, spoken), language=spoken)
    return allow_frames(make_response(page))


def _selected_lists(slugs: Sequence[str], within: Sequence[str] | None = None) -> Sequence[MailingList]:
    """Return the named lists, or all when none of them exists: embedded forms outlive lists."""
    every = all_lists(within)
    return [item for item in every if item.slug in slugs] or every


def _form_language() -> str:
    asked = request.args.get("form_language", "")
    return asked if asked in current_settings().languages else language()


def _preview_url(kind: str, lists: Sequence[MailingList], spoken: str) -> str:
    slugs = [item.slug for item in lists]
    return url_for("embedding.preview", kind=kind, lists=slugs, form_language=spoken)


def _embed_code(kind: str, lists: Sequence[MailingList], spoken: str) -> str:
    """Return the embed code of a kind: the static form, an iframe, or a script."""
    if kind == "form":
        return _render_form(lists, spoken, script=False)
    slugs = [item.slug for item in lists]
    query = urlencode([*(("lists", slug) for slug in slugs), ("lang", spoken)])
    with force_language(spoken):
        return render_template(f"embed/{kind}.html", query=query, slugs=slugs)


def _render_form(lists: Sequence[MailingList], spoken: str, *, script: bool) -> str:
    with force_language(spoken):
        return render_template(
            "embed/form.html",
            lists=lists,
            consent_text=get_consent_text(Purpose.NEWSLETTER, spoken),
            tracking=tracking_question(spoken),
            script=script,
        )
