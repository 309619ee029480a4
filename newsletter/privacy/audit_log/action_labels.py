"""Labels for the actions and actors of the audit log. One without a label is shown as stored."""

import sqlalchemy as sa

from newsletter.db import db
from newsletter.errors import N_
from newsletter.staff.models import ApiToken, Staff
from newsletter.web.i18n import translate

ACTION_LABELS = {
    "access carried out": N_("Request for access carried out"),
    "address banned": N_("Address blocked"),
    "address changed": N_("Address changed"),
    "affected people exported": N_("List of affected people exported"),
    "attention called": N_("Reminder sent to the privacy contact"),
    "audit log exported": N_("Audit log exported"),
    "backup made": N_("Backup made"),
    "backup restored": N_("Backup restored"),
    "block lifted": N_("Block lifted"),
    "bounce message read": N_("Returned mail read"),
    "bounces shown": N_("Returned mails listed"),
    "campaign cancelled": N_("Newsletter cancelled"),
    "campaign created": N_("Newsletter created"),
    "campaign lists changed": N_("Lists of a newsletter changed"),
    "campaign made a draft again": N_("Newsletter made a draft again"),
    "bounces rejudged": N_("Bounces judged anew"),
    "campaign paused": N_("Newsletter paused"),
    "campaign proposed": N_("Newsletter proposed for sending"),
    "campaign resumed": N_("Newsletter resumed"),
    "campaign scheduled": N_("Newsletter scheduled"),
    "campaign sent": N_("Newsletter sent"),
    "chains verified": N_("Seals checked"),
    "consent proof read": N_("Proof of consent read"),
    "data disclosed": N_("Data disclosed"),
    "database copied": N_("Database copied to PostgreSQL"),
    "edition added": N_("Language added to a newsletter"),
    "edition removed": N_("Language removed from a newsletter"),
    "edition written": N_("Newsletter edited"),
    "words confirmed": N_("Words that look like a placeholder confirmed"),
    "erasure carried out": N_("Request for erasure carried out"),
    "events reclassified": N_("Opens and clicks classified anew"),
    "hold ended": N_("Hold ended"),
    "hold set": N_("Data put on hold"),
    "import finished": N_("Import finished"),
    "import started": N_("Import started"),
    "incident changed": N_("Breach changed"),
    "incident closed": N_("Breach closed"),
    "incident recorded": N_("Breach recorded"),
    "incident reported": N_("Breach reported to the authority"),
    "incident told": N_("People told of a breach"),
    "journal replayed": N_("Wishes since the backup carried out again"),
    "language changed": N_("Language changed"),
    "letter read": N_("Letter read"),
    "list created": N_("List created"),
    "notice published": N_("Privacy notice published"),
    "objection carried out": N_("Objection carried out"),
    "opens and clicks of a person shown": N_("Opens and clicks of a person shown"),
    "opens and clicks shown": N_("Opens and clicks of persons shown"),
    "own data copied": N_("Copy of one's own data taken"),
    "openid linked": N_("Sign-in elsewhere linked"),
    "openid unlinked": N_("Sign-in elsewhere unlinked"),
    "passkey added": N_("Passkey added"),
    "passkey refused": N_("Passkey refused"),
    "passkey removed": N_("Passkey removed"),
    "passkey renamed": N_("Passkey renamed"),
    "passkey used": N_("Passkey used"),
    "password changed": N_("Password changed"),
    "password reset asked for": N_("New password asked for"),
    "person erased": N_("Person erased"),
    "personal data read": N_("Everything held on a person read"),
    "picture uploaded": N_("Picture uploaded"),
    "portability carried out": N_("Request for portable data carried out"),
    "preflight overridden": N_("Newsletter let go although mail may not arrive"),
    "proof removed": N_("Proof of somebody erased removed"),
    "purge finished": N_("January purge finished"),
    "purge started": N_("January purge started"),
    "recipient told": N_("Recipient or source told"),
    "recovery code used": N_("Recovery code used"),
    "rectification carried out": N_("Rectification carried out"),
    "request done": N_("Request answered"),
    "request extended": N_("More time taken for a request"),
    "request nothing_held": N_("Request answered: nothing held"),
    "request proven": N_("Request confirmed from the mailbox"),
    "request read": N_("Request read"),
    "request received": N_("Request received"),
    "request refused": N_("Request refused"),
    "requests for an address blocked": N_("Address blocked at its owner's wish"),
    "requests listed": N_("Requests listed"),
    "restriction carried out": N_("Restriction carried out"),
    "restriction lifted": N_("Restriction lifted"),
    "schedule held": N_("Scheduled newsletter held back"),
    "second step removed": N_("Second step of signing in removed"),
    "second step set up": N_("Second step of signing in set up"),
    "sign-in refused": N_("Sign-in refused"),
    "code refused": N_("Code of the second step refused"),
    "mail domain limit reached": N_("Hourly limit of mails to one mail provider reached"),
    "signed in": N_("Signed in"),
    "signup breaker tripped": N_("Signups slowed down: too many at once"),
    "staff account cleared": N_("Account cleared of its person"),
    "staff account closed": N_("Account closed"),
    "staff account made": N_("Account made"),
    "staff account reopened": N_("Account reopened"),
    "staff invited": N_("Colleague invited"),
    "staff level changed": N_("Level of an account changed"),
    "staff lists changed": N_("Lists of a member of staff changed"),
    "subscriber shown": N_("Subscriber shown"),
    "subscribers exported": N_("Subscribers exported"),
    "subscribers listed": N_("Subscribers listed"),
    "subscription entered": N_("Subscription entered by staff"),
    "subscriptions ended": N_("Subscriptions ended"),
    "test mail sent": N_("Test mail sent"),
    "token made": N_("Token for a program made"),
    "token revoked": N_("Token of a program revoked"),
    "undertaking given": N_("Confidentiality undertaking given"),
    "webhook ended": N_("Webhook ended"),
    "webhook made": N_("Webhook made"),
}
ACTOR_LABELS = {
    "console": N_("Command line"),
    "person": N_("The person"),
    "system": N_("The program"),
    "breaker": N_("The program, to protect the sender"),
}
_TOKEN_LABEL = N_("Program: %(name)s")


def list_actors() -> list[str]:
    """Return every possible actor as the log stores it, found without reading the log."""
    accounts, tokens = (db.session.scalars(sa.select(kind.id)) for kind in (Staff, ApiToken))
    return [
        *ACTOR_LABELS,
        *(f"staff:{number}" for number in accounts),
        *(f"token:{number}" for number in tokens),
    ]


def action_label(action: str) -> str:
    """Return the label of an action in the current language."""
    return translate(ACTION_LABELS[action]) if action in ACTION_LABELS else action


def actor_label(actor: str) -> str:
    """Return the label of an actor: an account's address, a token's name, or a fixed label."""
    kind, _colon, number = actor.partition(":")
    if kind == "staff" and number.isdigit():
        account = db.session.get(Staff, int(number))
        return account.email if account else actor
    if kind == "token" and number.isdigit():
        token = db.session.get(ApiToken, int(number))
        return translate(_TOKEN_LABEL, {"name": token.name}) if token else actor
    return translate(ACTOR_LABELS[actor]) if actor in ACTOR_LABELS else actor
