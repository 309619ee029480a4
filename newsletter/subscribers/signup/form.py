"""Validation of the signup form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from newsletter.errors import AddressInvalid, NewsletterError
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.consent.tracking import ALLOW, REFUSE
from newsletter.subscribers.lists import UnknownList, get_list_ids
from newsletter.subscribers.models import MailingList
from newsletter.subscribers.signup.request import ConsentMissing, ListMissing, SignupForm
from newsletter.web.i18n import translate


@dataclass(slots=True)
class FormState:
    """The submitted values and errors of the form, to render it again."""

    values: Mapping[str, Any]
    errors: dict[str, str] = field(default_factory=dict)
    #: The validated form; None when there are errors.
    request: SignupForm | None = None


def empty_form(lists: Sequence[MailingList]) -> FormState:
    """Return the initial form: both boxes unticked, a list chosen only if there is just one."""
    chosen = [lists[0].slug] if len(lists) == 1 else []
    return FormState({"email": "", "lists": chosen, "consent": False, "tracking": ""})


def read_form(posted: MultiDict[str, str], language: str, browser_hash: str | None = None) -> FormState:
    """Validate the posted fields; errors are reported by field."""
    filled = FormState(
        {
            "email": posted.get("email", "")[:320],
            "lists": [slug for slug in posted.getlist("lists") if slug],
            "consent": posted.get("consent") == "yes",
            "tracking": posted.get("tracking", ""),
        }
    )
    problems: dict[str, NewsletterError] = {}
    list_ids: list[int] = []
    try:
        address = parse_address(posted.get("email", ""))
    except AddressInvalid as error:
        problems["email"] = error
    try:
        list_ids = get_list_ids(filled.values["lists"])
    except UnknownList as error:
        problems["lists"] = error
    if not list_ids:
        problems.setdefault("lists", ListMissing())
    if not filled.values["consent"]:
        problems["consent"] = ConsentMissing()
    if problems:
        filled.errors = {name: translate(error.message, error.values) for name, error in problems.items()}
    else:
        filled.request = SignupForm(
            address=address,
            list_ids=list_ids,
            language=language,
            wants_tracking=filled.values["tracking"] == ALLOW,
            refuses_tracking=filled.values["tracking"] == REFUSE,
            browser_hash=browser_hash,
        )
    return filled
