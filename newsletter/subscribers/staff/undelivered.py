"""Staff page of single mails that were not delivered."""

from typing import Any

from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from newsletter.clock import utcnow
from newsletter.errors import N_
from newsletter.mail.models import MailStatus, OutboxMail
from newsletter.staff.auth.access import require_role
from newsletter.staff.models import Role
from newsletter.subscribers.undelivered import UndeliveredMail, count_undelivered, list_undelivered
from newsletter.web.app import parse_id
from newsletter.web.i18n import translate

bp = Blueprint("subscribers_staff", __name__, url_prefix="/staff")

PAGE_SIZE = 20
MAIL_LABELS = {
    "confirm": N_("Confirmation mail"),
    "activated": N_("Subscription confirmed"),
    "check": N_("Test of the mail server"),
    "already_subscribed": N_("Already a subscriber"),
    "left": N_("Receipt of leaving"),
    "fresh_link": N_("Link to one's own data"),
    "privacy_alert": N_("Notice to the privacy contact"),
    "rights_link": N_("Link for a request about one's data"),
    "rights_reply": N_("Answer to a request about one's data"),
    "new_address": N_("Confirmation of a new address"),
    "address_changed": N_("Address changed"),
    "address_taken": N_("Address already in use"),
    "test": N_("Test mail"),
    "staff_invitation": N_("Invitation to the staff pages"),
    "staff_reset": N_("Link for a new staff password"),
    "staff_changed": N_("Notice to staff"),
}
#: What its recipient can do without the mail, by template.
ADVICE_BY_TEMPLATE = {
    "confirm": N_("The person can sign up again, with a corrected address if it was mistyped."),
    "fresh_link": N_("The person can ask for a new link on the page of their own details."),
    "new_address": N_("The person can give the new address again on the page of their own details."),
}
STATUS_LABELS = {
    MailStatus.QUEUED: N_("Waiting for a new try"),
    MailStatus.FAILED: N_("Failed"),
    MailStatus.UNCERTAIN: N_("Uncertain"),
}
#: Labels of reply codes (RFC 5321, 4.2.3).
REPLY_CODE_LABELS = {
    421: N_("The mail server is busy or is being restarted."),
    450: N_("The mailbox cannot take mail just now, or the server wants us to come back later."),
    451: N_("The receiving server had a fault of its own, or wants us to come back later."),
    452: N_("The receiving server or the mailbox is full."),
    530: N_("Our mail server wants us to log in first."),
    535: N_("Our mail server does not accept our user name and password."),
    550: N_("There is no such mailbox, or it takes no mail from us."),
    551: N_("The mailbox has moved away from that server."),
    552: N_("The mailbox is full."),
    553: N_("The receiving server does not accept the address."),
    554: N_("The receiving server refused the mail."),
    556: N_("The domain takes no mail."),
}
TRANSIENT, PERMANENT = 400, 500
#: Reply codes for which the sender is at fault, not the recipient.
SENDER_FAULT_CODES = {530, 535}


@bp.get("/mails")
@require_role(Role.SENDER, Role.PRIVACY, Role.ADMIN)
def mails() -> ResponseReturnValue:
    now = utcnow()
    before, after = request.args.get("before", type=parse_id), request.args.get("after", type=parse_id)
    page = list_undelivered(now, before=before, after=after, size=PAGE_SIZE)
    return render_template(
        "staff/mails.html",
        counts=[
            {"kind": _mail_label(template), "status": translate(STATUS_LABELS[status]), "count": count}
            for template, status, count in count_undelivered(now)
        ],
        mails=[_row(item) for item in page],
        older_url=url_for(".mails", before=page[-1].mail.id) if len(page) == PAGE_SIZE else None,
        newer_url=url_for(".mails", after=page[0].mail.id) if page and (before or after) else None,
    )


def _row(item: UndeliveredMail) -> dict[str, Any]:
    mail = item.mail
    return {
        "id": mail.id,
        "kind": _mail_label(mail.template),
        "masked": item.masked,
        "status": translate(_not_tried_label(mail) or STATUS_LABELS[mail.status]),
        "status_code": mail.status.value,
        "created_at": mail.created_at,
        "next_at": mail.due_at if mail.status is MailStatus.QUEUED and mail.attempts else None,
        "attempts": mail.attempts,
        "reply_code": mail.reply_code,
        "reason": translate(_reason(mail)),
        "advice": translate(_advice(item)),
    }


def _mail_label(template: str) -> str:
    return translate(MAIL_LABELS[template]) if template in MAIL_LABELS else template.replace("_", " ")


def _not_tried_label(mail: OutboxMail) -> str | None:
    return N_("Not tried yet") if mail.status is MailStatus.QUEUED and not mail.attempts else None


def _reason(mail: OutboxMail) -> str:
    """Describe the reply code of the mail server in a sentence."""
    code = mail.reply_code
    if mail.status is MailStatus.UNCERTAIN:
        return N_("The connection broke before the server's answer, so the mail may have arrived.")
    if mail.status is MailStatus.QUEUED and not mail.attempts:
        return N_("Nothing has tried to send it.")
    if code is None:
        return N_("Our mail server could not be reached.")
    if code in REPLY_CODE_LABELS:
        return REPLY_CODE_LABELS[code]
    if code >= PERMANENT:
        return N_("The receiving server refused the mail for good.")
    return N_("The receiving server wants us to come back later.")


def _advice(item: UndeliveredMail) -> str:
    """Describe the next step in a sentence."""
    mail, code = item.mail, item.mail.reply_code
    if mail.status is MailStatus.QUEUED and not mail.attempts:
        return N_("Check that a worker is running.")
    if mail.status is not MailStatus.UNCERTAIN and (code is None or code in SENDER_FAULT_CODES):
        return N_("Check the mail server and its settings.")
    if mail.status is MailStatus.QUEUED:
        return N_("Nothing: it is tried again by itself, for four days in all.")
    if item.masked is None:
        return N_("Nothing: the person is no longer here.")
    return ADVICE_BY_TEMPLATE.get(mail.template) or N_(
        "Nothing has changed for the person. Only this mail is missing."
    )
