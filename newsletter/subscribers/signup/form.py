"""The signup form: what came in, what is wrong with it, and the checked request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from werkzeug.datastructures import MultiDict

from newsletter.errors import AddressInvalid, NewsletterError
from newsletter.subscribers.addresses import parse_address
from newsletter.subscribers.consent.tracking import ALLOW, REFUSE
from newsletter.subscribers.lists import UnknownList, ids_of
from newsletter.subscribers.models import MailingList
from newsletter.subscribers.signup.request import ConsentMissing, ListMissing, SignupForm
from newsletter.web.i18n import translate


@dataclass(slots=True)
class FilledForm:
    """The form as the visitor left it, for showing it again."""

    values: Mapping[str, Any]
    errors: dict[str, str] = field(default_factory=dict)
    #: Set when nothing is wrong.
    request: SignupForm | None = None


def empty_form(lists: Sequence[MailingList]) -> FilledForm:
    """Return the form as it is first shown: both boxes empty, a list chosen only if there is one."""
    chosen = [lists[0].slug] if len(lists) == 1 else []
    return FilledForm({"email": "", "lists": chosen, "consent": False, "tracking": ""})


def read_form(posted: MultiDict[str, str], language: str, browser_hash: str | None = None) -> FilledForm:
    """Check what was posted; each field names its own error."""
    filled = FilledForm(
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
        list_ids = ids_of(filled.values["lists"])
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
