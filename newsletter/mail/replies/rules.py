"""Whose fault it is: one table, read from the top; the first row that holds decides (SB-5).

The person's address is given up only for what says plainly that there is no such mailbox or domain.
What vendors write in a way of their own comes first, then what smells of us, then the plain words,
then the number alone. Whoever changes a row counts ``VERSION`` up: ``newsletter bounces rejudge``
then judges anew what older rows decided.
"""

from dataclasses import dataclass

from newsletter.errors import N_
from newsletter.mail.replies import patterns as words
from newsletter.mail.replies.models import Fault, Stage, Whose

VERSION = 1

_GOOD, _NOW, _US, _NOBODY = Whose.PERSON_FOR_GOOD, Whose.PERSON_FOR_NOW, Whose.US, Whose.NOBODY
#: Steps at which the server has not heard yet whom the mail is for.
_BEFORE_RCPT = frozenset({Stage.CONNECT, Stage.EHLO, Stage.MAIL})
_CONTENT = frozenset({Stage.DATA, Stage.DOT})
_HOOK = frozenset({Stage.WEBHOOK})
_COMPLAINT = frozenset({Stage.COMPLAINT})
_FOR_GOOD = r"5\..*|5\d\d|"
_FOR_NOW = r"4\..*|4\d\d"


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table: it holds when all that it names is found; what it leaves out always is."""

    key: str
    whose: Whose
    #: In plain words, for people's pages and for staff.
    why: str
    #: Matched with the whole enhanced status, or the reply code where there is none.
    number: str = ""
    #: Looked for in what was said without addresses, hosts and links, whatever the case.
    text: str = ""
    #: The same in what was said as it came.
    raw: str = ""
    stages: frozenset[Stage] = frozenset()
    #: The relay that reports, and its own name for what happened.
    by: str = ""
    word: str = ""
    fault: Fault | None = None
    #: Where it is written that servers speak so.
    source: str = "observed replies of mail servers"


_FULL = N_("The mailbox is full.")
_NO_MAILBOX = N_("There is no such mailbox.")
_NO_DOMAIN = N_("There is no such domain.")
_CLOSED = N_("The mailbox has been closed.")
_GROUP = N_("Only some people may write to this group or mailbox.")
_UNWANTED = N_("The server does not want mail like this from us.")
_FORM = N_("The server does not accept the mail's form or size.")
_SENDER = N_("The server does not accept our sender's address.")
_FILTERED = N_("A filter or block list of the server turned it away.")
_LIMIT = N_("We have sent more than the server allows for now.")
_BUSY = N_("The mailbox takes no more mails for now.")
_AUTOMATIC = N_("An automatic reply, such as out of office.")
_LATE = N_("The server put it off until time ran out.")
_RELAYING = N_("The server does not pass our mails on.")
_RELAY_SAYS = N_("The relay says that the address is no good.")
_RELAY_REFUSED = N_("The relay itself did not take the mail.")

_MS = "Microsoft Learn: email non-delivery reports in Exchange Online"
_OUTLOOK = "Outlook.com postmaster: troubleshooting"
_GOOGLE = "Google Workspace Admin Help: SMTP error reference"
_YAHOO = "Yahoo Sender Hub: SMTP error codes"
_APPLE = "Apple Support: iCloud postmaster information"
_3463 = "RFC 3463"
_5321 = "RFC 5321, 4.2"

#: In this order; the last holds for everything.
RULES: tuple[Rule, ...] = (
    # --- complaints ---------------------------------------------------------------------------------
    Rule("not_spam", _NOBODY, N_("A mailbox provider passed it on."), stages=_COMPLAINT,
         word=r"not-spam|auth-failure|virus|dmarc", source="RFC 5965, 6591"),
    Rule("complaint", _GOOD, N_("The person called it spam."), stages=_COMPLAINT, source="RFC 5965"),
    # --- relays, by their own names ---------------------------------------------------------------------
    Rule("relay_reply", _NOBODY, _AUTOMATIC, stages=_HOOK, by="postmark",
         word="AutoResponder|ChallengeVerification|OpenRelayTest|Subscribe|AddressChange|Unsubscribe|"
         "TemplateRenderingFailed", source="Postmark: bounce types"),
    Rule("relay_general", _NOBODY, _AUTOMATIC, stages=_HOOK, by="ses", word="Transient/General",
         source="Amazon SES: bounce types"),
    Rule("relay_refused", _US, _RELAY_REFUSED, stages=_HOOK, by="ses", fault=Fault.CONTENT,
         word=".*/(?:ContentRejected|MessageTooLarge|AttachmentRejected)|Reject",
         source="Amazon SES: bounce types"),
    Rule("relay_refused", _US, _RELAY_REFUSED, stages=_HOOK, by="sendgrid", fault=Fault.CONTENT,
         word="dropped", text=r"smtpapi|header|spam content|unsubscribe group|template|substitution",
         source="SendGrid: event webhook, dropped"),
    Rule("relay_refused", _US, _RELAY_REFUSED, stages=_HOOK, by="brevo", word="error|blocked",
         fault=Fault.POLICY, source="Brevo: transactional webhooks"),
    Rule("relay_refused", _US, _RELAY_REFUSED, stages=_HOOK, by="postmark", fault=Fault.POLICY,
         word="SpamNotification|Blocked|DMARCPolicy|VirusNotification|SMTPApiError|InboundError",
         source="Postmark: bounce types"),
    # --- vendors whose words or numbers mean something else than elsewhere ----------------------------------
    Rule("recipient_rate", _NOW, _BUSY, text=words.BUSY, source=_GOOGLE),
    Rule("recipient_rate", _NOW, _BUSY, number=r"[45]\.2\.12[12]", source=_MS),
    Rule("closed_group", _NOW, _GROUP, raw=words.CLOSED_GROUP, source=_MS),
    Rule("closed_group", _NOW, _GROUP, number=r"5\.7\.(?:12[0-9]|13[0-6])", source=_MS),
    Rule("ms_access_denied", _GOOD, _NO_MAILBOX, number=r"5\.4\.1|550",
         raw=r"5\.4\.1.{0,200}recipient address rejected: access denied|"
         r"recipient address rejected: access denied\.? ?\S{0,3}AS\(\d+\)", source=_MS),
    Rule("ms_access_denied", _GOOD, _NO_MAILBOX, number=r"5\.4\.1",
         text="recipient address rejected: access denied", source=_MS),
    Rule("mailbox_unavailable_dns", _US, N_("The server could not resolve the name of our server."),
         text=r"mailbox unavailable.{0,80}dns|bad dns|dns (?:mx|ptr)", fault=Fault.POLICY,
         source="GMX and WEB.DE postmaster pages"),
    Rule("unauthorized_sender", _US, _SENDER, text=r"unauthori[sz]ed sender", fault=Fault.SENDER,
         source=_APPLE),
    Rule("relay_suppressed", _GOOD, _RELAY_SAYS, number=_FOR_GOOD,
         text=r"suppressed sending to this address|on (?:the|your) (?:account )?suppression list|"
         r"recent history of bouncing|bounced address|previously bounced",
         source="Amazon SES: account-level suppression list"),
    Rule("outlook_block", _US, _UNWANTED, text=r"\b(?:RP|SC|DY|OU)-00\d|\bS3140\b", fault=Fault.POLICY,
         source=_OUTLOOK),
    Rule("expired", _NOW, _LATE, text=r"(?:message|queue|delivery time|retry time\w*|time.?out) (?:has |"
         r"was )?"
         r"expired|queue\.expired|retry timeout|retry time not reached|delivery expired|expired after",
         source=_MS),
    # --- ours, in whatever coat ---------------------------------------------------------------------------
    Rule("sender_limit", _US, _LIMIT, number=r"5\.4\.5|5\.1\.90|5\.5\.3", fault=Fault.LIMIT, source=_GOOGLE),
    Rule("full", _NOW, _FULL, number=r"[245]\.2\.2", source=_3463),
    Rule("full_text", _NOW, _FULL, raw=r"4\.2\.2|5\.2\.2|QuotaExceeded|boite du destinataire pleine|"
         r"exceeded storage|mail ?box (?:is )?(?:full|over)|over ?quota",
         source=_3463),
    Rule("too_large", _US, _FORM, number=r"[45]\.3\.4|[45]\.2\.3", fault=Fault.CONTENT, source=_3463),
    Rule("sender_limit", _US, _LIMIT, number=_FOR_GOOD, text=words.LIMIT, fault=Fault.LIMIT, source=_GOOGLE),
    Rule("rate", _US, _LIMIT, number=_FOR_NOW, text=words.LIMIT, fault=Fault.LIMIT, source=_YAHOO),
    Rule("full_text", _NOW, _FULL, text=words.FULL),
    Rule("preference", _NOW, N_("The recipient does not want this mail."), word="mdn/deleted",
         source="RFC 5429, 2.2"),
    Rule("preference", _NOW, N_("The recipient does not want this mail."), text=words.PREFERENCE),
    Rule("ehlo", _US, N_("The server does not accept the name that we give in EHLO."), text=words.EHLO,
         fault=Fault.EHLO, source="RFC 5321, 4.1.4; Postfix SMTPD_ACCESS_README"),
    Rule("ehlo", _US, N_("The server does not accept the name that we give in EHLO."),
         stages=frozenset({Stage.EHLO}), fault=Fault.EHLO, source=_5321),
    Rule("relaying", _US, _RELAYING, text=words.RELAYING, fault=Fault.RELAYING),
    Rule("login", _US, N_("The server wants us to log in."), number=r"530|534|535|538", fault=Fault.LOGIN,
         source="RFC 4954, 6"),
    Rule("login", _US, N_("The server wants us to log in."), text=words.LOGIN, fault=Fault.LOGIN,
         source="RFC 4954, 6"),
    Rule("reverse_dns", _US, N_("The server could not resolve the name of our server."), text=words.REVERSE,
         fault=Fault.POLICY),
    Rule("sender", _US, _SENDER, number=r"[45]\.1\.[789]", fault=Fault.SENDER, source=_3463),
    Rule("sender", _US, _SENDER, text=words.SENDER, fault=Fault.SENDER),
    Rule("greylisted", _NOW, _LATE, number=_FOR_NOW, text=r"gr[ae]y.?list|try again|come back|retry"),
    Rule("filtered", _US, _FILTERED, text=words.FILTER, fault=Fault.POLICY),
    Rule("too_large", _US, _FORM, text=words.SIZE, fault=Fault.CONTENT),
    Rule("content", _US, _FORM, number=r"[45]\.6\.\d+", fault=Fault.CONTENT, source=_3463),
    Rule("before_recipient", _US, _UNWANTED, number=_FOR_GOOD, stages=_BEFORE_RCPT, fault=Fault.SENDER,
         source=_5321),
    # --- for now ------------------------------------------------------------------------------------------
    Rule("policy", _US, _UNWANTED, number=r"4\.7\.\d+", fault=Fault.POLICY, source=_3463),
    Rule("temporary", _NOW, _LATE, number=_FOR_NOW, source=_3463),
    # --- no such mailbox, no such domain --------------------------------------------------------------------
    Rule("loop", _NOW, N_("The servers hand it round in a circle."), number=r"5\.4\.6|5\.4\.14",
         source=_3463),
    Rule("loop", _NOW, N_("The servers hand it round in a circle."),
         text=r"loop(?:ing|s)?\b|too many hops|hop count", source=_3463),
    Rule("no_domain_text", _GOOD, _NO_DOMAIN, number=r"5\.[14]\.\d+|5\.0\.0|550|553|554|512|556|",
         text=words.NO_DOMAIN),
    Rule("no_mailbox_text", _GOOD, _NO_MAILBOX, number=_FOR_GOOD, text=words.NOBODY),
    Rule("closed_text", _GOOD, _CLOSED, number=_FOR_GOOD, text=words.CLOSED),
    Rule("no_mailbox", _GOOD, _NO_MAILBOX, raw=r"RecipientNotFound|RecipNotFound|#?5\.1\.0 address rejected",
         number=_FOR_GOOD, source=_MS),
    # --- the number alone -----------------------------------------------------------------------------------
    Rule("turned_away", _US, _UNWANTED, number=_FOR_GOOD, text=words.TURNED_AWAY, fault=Fault.POLICY),
    Rule("form", _US, _FORM, number=_FOR_GOOD, text=words.FORM, fault=Fault.CONTENT),
    Rule("policy", _US, _UNWANTED, number=r"5\.7\.\d+", fault=Fault.POLICY, source=_3463),
    Rule("no_mailbox", _GOOD, _NO_MAILBOX, number=r"5\.1\.[136]|551", source=_3463),
    Rule("no_domain", _GOOD, _NO_DOMAIN, number=r"5\.1\.2|5\.4\.4|5\.4\.310", source=_3463),
    Rule("null_mx", _GOOD, N_("The domain takes no mail."), number=r"5\.1\.10|556", source="RFC 7505"),
    Rule("closed", _GOOD, _CLOSED, number=r"5\.2\.1", source=_3463),
    Rule("content", _US, _FORM, number=_FOR_GOOD, stages=_CONTENT, fault=Fault.CONTENT, source=_5321),
    Rule("full", _NOW, _FULL, number="452|552", source=_5321),
    Rule("syntax", _US, N_("The servers did not understand each other."), number=r"5\.5\.[1-6]|50[0-4]",
         fault=Fault.POLICY, source=_5321),
    # --- a relay's word, where the server said nothing that is above ----------------------------------------
    Rule("relay", _GOOD, _RELAY_SAYS, stages=_HOOK, by="postmark", word="HardBounce|BadEmailAddress",
         source="Postmark: bounce types"),
    Rule("relay", _GOOD, _RELAY_SAYS, stages=_HOOK, by="sendgrid", word="bounce|bounce/Invalid Address",
         source="SendGrid: bounce classifications"),
    Rule("relay_class", _US, _RELAY_REFUSED, stages=_HOOK, by="sendgrid", fault=Fault.POLICY,
         word="bounce/(?:Content|Reputation|Technical.*|Frequency.*)",
         source="SendGrid: bounce classifications"),
    Rule("relay", _GOOD, _RELAY_SAYS, stages=_HOOK, by="sendgrid", word="dropped",
         text=r"bounced address|invalid", source="SendGrid: event webhook, dropped"),
    Rule("relay", _GOOD, _RELAY_SAYS, stages=_HOOK, by="brevo", word="hard_bounce|invalid_email",
         source="Brevo: transactional webhooks"),
    Rule("relay", _GOOD, _RELAY_SAYS, stages=_HOOK, by="ses",
         word="Permanent/(?:General|NoEmail|Suppressed|OnAccountSuppressionList)",
         source="Amazon SES: bounce types"),
    Rule("relay", _GOOD, _RELAY_SAYS, stages=_HOOK, by="mailgun", word="605", source="Mailgun: event codes"),
    Rule("other", _NOW, N_("The server did not say why.")),
)  # fmt: skip
REASONS = {rule.key: rule.why for rule in RULES}
