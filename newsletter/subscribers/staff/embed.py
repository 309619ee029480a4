"""The form for other sites: the staff page that makes the code, and what that code fetches."""

from collections.abc import Sequence
from urllib.parse import urlencode

from flask import Blueprint, abort, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.staff.auth.access import allowed_lists, require_role
from newsletter.staff.models import Role
from newsletter.subscribers.consent.texts import wording_text
from newsletter.subscribers.consent.tracking import question
from newsletter.subscribers.lists import all_lists
from newsletter.subscribers.models import FunnelStep, MailingList, Purpose
from newsletter.subscribers.signup import funnel
from newsletter.subscribers.signup.browser_cookie import is_a_look
from newsletter.web.app import allow_cors, allow_frames
from newsletter.web.i18n import NATIVE_NAMES, force_language, language

bp = Blueprint("embedding", __name__)

#: The three kinds of code, simplest first.
KINDS = ("form", "frame", "script")


@bp.get("/subscribe/form")
def form() -> ResponseReturnValue:
    """Give the bare form to embed.js, so that a form on another site always has the words in force."""
    lists = _lists(request.args.getlist("lists"))
    if is_a_look():
        host = funnel.host_of(request.headers.get("Origin", request.base_url))
        funnel.note(FunnelStep.SHOWN, lists, language=language(), form_host=host, now=utcnow())
    return allow_cors(make_response(_form(lists, language(), script=True)))


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
        codes={kind: _code(kind, lists, spoken) for kind in KINDS} if lists else {},
        previews={kind: _preview_url(kind, lists, spoken) for kind in KINDS},
        origins=current_settings().embed_origins,
    )


@bp.get("/staff/embed/preview/<kind>")
@require_role(*Role, by_list=True)
def preview(kind: str) -> ResponseReturnValue:
    if kind not in KINDS:
        abort(404)
    lists = _lists(request.args.getlist("lists"), allowed_lists())
    spoken = _form_language()
    page = render_template("staff/embed_preview.html", code=_code(kind, lists, spoken), language=spoken)
    return allow_frames(make_response(page))


def _lists(slugs: Sequence[str], within: Sequence[str] | None = None) -> Sequence[MailingList]:
    """Return the lists named, else all: a form on another site outlives a list."""
    every = all_lists(within)
    return [item for item in every if item.slug in slugs] or every


def _form_language() -> str:
    asked = request.args.get("form_language", "")
    return asked if asked in current_settings().languages else language()


def _preview_url(kind: str, lists: Sequence[MailingList], spoken: str) -> str:
    slugs = [item.slug for item in lists]
    return url_for("embedding.preview", kind=kind, lists=slugs, form_language=spoken)


def _code(kind: str, lists: Sequence[MailingList], spoken: str) -> str:
    """Return what is pasted into a page: the form as it stands, a frame, or a script."""
    if kind == "form":
        return _form(lists, spoken, script=False)
    slugs = [item.slug for item in lists]
    query = urlencode([*(("lists", slug) for slug in slugs), ("lang", spoken)])
    with force_language(spoken):
        return render_template(f"embed/{kind}.html", query=query, slugs=slugs)


def _form(lists: Sequence[MailingList], spoken: str, *, script: bool) -> str:
    with force_language(spoken):
        return render_template(
            "embed/form.html",
            lists=lists,
            consent_text=wording_text(Purpose.NEWSLETTER, spoken),
            tracking=question(spoken),
            script=script,
        )
