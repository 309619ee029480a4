"""SB-4: reports over the web count with the relay's own signature and our token, and not with one of them."""

import base64
import hashlib
import hmac
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from newsletter.bounces.models import Bounce
from newsletter.db import db
from newsletter.mail.return_path import return_paths
from newsletter.sending.message.personalize import MESSAGE_ID
from newsletter.subscribers.models import Suppression
from tests.bounces.conftest import status_of, totals_of
from tests.support.apps import Client
from tests.support.clock import NOW

TOPIC = "arn:aws:sns:eu-north-1:123456789012:bounces"
CERTIFICATE = "https://sns.eu-north-1.amazonaws.com/SimpleNotificationService-1.pem"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {
    "hook_key": "a key of our own",
    "hook_brevo_token": "brevo-token",
    "hook_mailgun_key": "mailgun-key",
    "hook_postmark_login": "hooks:postmark",
    "hook_sendgrid_key": base64.b64encode(
        EC_KEY.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).decode(),
    "hook_ses_topic": TOPIC,
}


def self_signed() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.example")])
    made = x509.CertificateBuilder(name, name, RSA_KEY.public_key(), 1, NOW, NOW + timedelta(days=1))
    return made.sign(RSA_KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def engine() -> str:
    return "sqlite"  # who signed what does not depend on it


@pytest.fixture
def hooks(make_app, sent):
    """A browserless client of an application with every key, and what it takes to name a mail."""
    it = campaign, person = sent()
    app = make_app(**KEYS)
    app.extensions["newsletter.sns_certificates"] = {CERTIFICATE: self_signed()}
    with app.app_context():
        path = return_paths().of(campaign.id, person.id)
        message_id = f"{MESSAGE_ID.make(campaign.editions[0].id, person.id)}@kirjakauppa.example"
    return Hooks(app.test_client(), it, path, message_id)


class Hooks:
    def __init__(self, client: Client, sent, path: str, message_id: str) -> None:
        self.client, self.sent, self.path, self.message_id = client, sent, path, message_id

    def post(self, relay: str, body: bytes, headers: dict[str, str]) -> int:
        db.session.rollback()
        return self.client.post(
            f"/hooks/{relay}", data=body, headers=headers, content_type="application/json"
        ).status_code


# --- how each of them signs ---------------------------------------------------------------------------


def signed(relay: str, data: Any, at: datetime = NOW) -> tuple[bytes, dict[str, str]]:
    """Return body and headers as the relay would send them."""
    stamp = str(int(at.timestamp()))
    if relay == "mailgun":
        signature = hmac.digest(b"mailgun-key", f"{stamp}t0ken".encode(), hashlib.sha256).hex()
        data |= {"signature": {"timestamp": stamp, "token": "t0ken", "signature": signature}}
    if relay == "ses":
        data = notification(data, at)
    body = json.dumps(data).encode()
    match relay:
        case "json":
            mac = hmac.digest(b"a key of our own", f"m1.{stamp}.".encode() + body, "sha256")
            signature = "v1," + base64.b64encode(mac).decode()
            return body, {"webhook-id": "m1", "webhook-timestamp": stamp, "webhook-signature": signature}
        case "brevo":
            return body, {"Authorization": "Bearer brevo-token"}
        case "postmark":
            return body, {"Authorization": "Basic " + base64.b64encode(b"hooks:postmark").decode()}
        case "sendgrid":
            proof = EC_KEY.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
            names = ("Signature", "Timestamp")
            values = (base64.b64encode(proof).decode(), stamp)
            return body, {f"X-Twilio-Email-Event-Webhook-{n}": v for n, v in zip(names, values, strict=True)}
    return body, {}


def notification(data: object, at: datetime) -> dict[str, str]:
    message = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": data if isinstance(data, str) else json.dumps(data),
        "Timestamp": at.isoformat(),
        "SignatureVersion": "2",
        "SigningCertURL": CERTIFICATE,
    }
    names = ("Message", "MessageId", "Timestamp", "TopicArn", "Type")
    text = "".join(f"{name}\n{message[name]}\n" for name in names)
    signature = RSA_KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return message | {"Signature": base64.b64encode(signature).decode()}


# --- what each of them says ---------------------------------------------------------------------------


def mailgun(hooks: Hooks, event: str, **more: object) -> dict[str, object]:
    named = {"envelope": {"sender": hooks.path}, "message": {"headers": {"message-id": hooks.message_id}}}
    return {"event-data": {"event": event} | named | more}


def ses(hooks: Hooks, kind: str, **more: object) -> dict[str, object]:
    return {"notificationType": kind, "mail": {"source": hooks.path, "headers": []}} | more


def postmark(hooks: Hooks, kind: str, record: str = "Bounce") -> dict[str, object]:
    number = hooks.message_id.partition("@")[0]
    return {"RecordType": record, "Type": kind, "Metadata": {"message": number}, "Details": "", "ID": 42}


def bounced_by_ses(hooks: Hooks, subtype: str, **recipient: str) -> dict[str, object]:
    said = {"bounceType": "Permanent", "bounceSubType": subtype, "bouncedRecipients": [recipient]}
    return ses(hooks, "Bounce", bounce=said)


#: Relay, what it says, and what we understand.
SAID = {
    "json-hard": ("json", lambda h: {"action": "failed", "return_path": h.path, "status": "5.1.1"}, "hard"),
    "json-late": ("json", lambda h: [{"action": "delayed", "message_id": h.message_id}], "delayed"),
    "json-spam": ("json", lambda h: {"action": "complaint", "return_path": h.path}, "complaint"),
    "brevo-hard": ("brevo", lambda h: {"event": "hard_bounce", "message-id": f"<{h.message_id}>", "reason": "?"}, "hard"),
    "brevo-soft": ("brevo", lambda h: {"event": "soft_bounce", "message-id": f"<{h.message_id}>", "reason": "mailbox full"}, "soft"),
    "brevo-blocked": ("brevo", lambda h: {"event": "blocked", "message-id": h.message_id}, "ours"),
    "brevo-late": ("brevo", lambda h: {"event": "deferred", "message-id": h.message_id}, "delayed"),
    "brevo-spam": ("brevo", lambda h: {"event": "spam", "message-id": h.message_id}, "complaint"),
    "mailgun-hard": ("mailgun", lambda h: mailgun(h, "failed", severity="permanent", **{"delivery-status": {"code": 550, "message": "5.1.1 no such user"}}), "hard"),
    "mailgun-policy": ("mailgun", lambda h: mailgun(h, "failed", severity="permanent", **{"delivery-status": {"code": 550, "message": "5.7.1 rejected"}}), "ours"),
    "mailgun-late": ("mailgun", lambda h: mailgun(h, "failed", severity="temporary"), "delayed"),
    "mailgun-spam": ("mailgun", lambda h: mailgun(h, "complained"), "complaint"),
    "postmark-hard": ("postmark", lambda h: postmark(h, "HardBounce"), "hard"),
    "postmark-soft": ("postmark", lambda h: postmark(h, "SoftBounce"), "soft"),
    "postmark-blocked": ("postmark", lambda h: postmark(h, "Blocked"), "ours"),
    "postmark-away": ("postmark", lambda h: postmark(h, "AutoResponder"), "auto_reply"),
    "postmark-spam": ("postmark", lambda h: postmark(h, "SpamComplaint", "SpamComplaint"), "complaint"),
    "sendgrid-hard": ("sendgrid", lambda h: [{"event": "bounce", "smtp-id": f"<{h.message_id}>", "status": "5.1.1", "reason": "550 no"}], "hard"),
    "sendgrid-blocked": ("sendgrid", lambda h: [{"event": "bounce", "type": "blocked", "smtp-id": h.message_id, "reason": "554 blocked"}], "ours"),
    "sendgrid-dropped": ("sendgrid", lambda h: [{"event": "dropped", "smtp-id": h.message_id, "reason": "Bounced Address"}], "hard"),
    "sendgrid-late": ("sendgrid", lambda h: [{"event": "open"}, {"event": "deferred", "smtp-id": h.message_id}], "delayed"),
    "sendgrid-spam": ("sendgrid", lambda h: [{"event": "spamreport", "smtp-id": h.message_id}], "complaint"),
    "ses-hard": ("ses", lambda h: bounced_by_ses(h, "General", status="5.1.1", diagnosticCode="smtp; 550 5.1.1 user unknown"), "hard"),
    "ses-suppressed": ("ses", lambda h: bounced_by_ses(h, "Suppressed"), "hard"),
    "ses-unclear": ("ses", lambda h: bounced_by_ses(h, "General", status="5.9.9"), "hard"),
    "ses-content": ("ses", lambda h: bounced_by_ses(h, "ContentRejected", status="5.9.9"), "ours"),
    "ses-spam": ("ses", lambda h: ses(h, "Complaint", complaint={"complaintFeedbackType": "abuse"}), "complaint"),
}  # fmt: skip
STATES = {"hard": "bounced", "soft": "bounced", "ours": "bounced", "complaint": "complained"}


@pytest.mark.parametrize("name", SAID)
def test_each_relay_is_understood(hooks, name):
    relay, say, kind = SAID[name]

    assert hooks.post(relay, *signed(relay, say(hooks))) == 204

    assert status_of(hooks.sent) == STATES.get(kind, "accepted")
    row = db.session.query(Bounce).one_or_none()
    assert (row.kind.value if row else "complaint") == kind


@pytest.mark.parametrize("relay", ["json", "brevo", "mailgun", "postmark", "sendgrid", "ses"])
def test_sb4_what_is_not_signed_changes_nothing(hooks, relay):
    _relay, say, _kind = SAID[f"{relay}-hard"]
    body, headers = signed(relay, say(hooks))
    forged = {name: value[:-3] + ("AAA" if value[-3:] != "AAA" else "BBB") for name, value in headers.items()}
    inner = json.loads(body)
    for holder in (inner, inner.get("signature", {})) if isinstance(inner, dict) else ():
        for name in ("Signature", "signature"):
            if isinstance(holder.get(name), str):
                holder[name] = base64.b64encode(b"x" * 256).decode()
    changed = json.dumps(inner).encode() if relay in {"ses", "mailgun"} else body

    assert hooks.post(relay, changed, forged) == 401

    assert (status_of(hooks.sent), db.session.query(Bounce).count()) == ("accepted", 0)


@pytest.mark.parametrize("relay", ["json", "sendgrid"])
def test_sb4_a_changed_body_has_no_signature(hooks, relay):
    body, headers = signed(relay, SAID[f"{relay}-hard"][1](hooks))

    assert hooks.post(relay, body.replace(b"5.1.1", b"5.2.2"), headers) == 401


@pytest.mark.parametrize(
    ("name", "value"),
    [("TopicArn", TOPIC + "-2"), ("SignatureVersion", "1"), ("SigningCertURL", "https://sns.evil.example/x.pem"),
     ("SigningCertURL", "https://sns.eu-north-1.amazonaws.com.evil.example/x.pem"), ("Type", "Other")],
)  # fmt: skip
def test_sb4_ses_is_believed_only_from_amazon_and_about_our_topic(hooks, name, value):
    body, _headers = signed("ses", SAID["ses-hard"][1](hooks))

    assert hooks.post("ses", json.dumps(json.loads(body) | {name: value}).encode(), {}) == 401


def test_sb4_a_report_of_long_ago_is_not_taken(hooks):
    body, headers = signed("json", SAID["json-hard"][1](hooks), at=NOW - timedelta(hours=1))

    assert hooks.post("json", body, headers) == 401


def test_sb4_a_signed_report_without_our_token_changes_nothing(hooks):
    forged = hooks.path.replace("+b0", "+b1")
    body, headers = signed("json", {"action": "failed", "return_path": forged, "status": "5.1.1"})

    assert hooks.post("json", body, headers) == 204

    assert (status_of(hooks.sent), db.session.query(Bounce).count()) == ("accepted", 0)


def test_a_report_that_is_sent_again_counts_once(hooks):
    for _time in range(2):
        hooks.post("json", *signed("json", SAID["json-hard"][1](hooks)))

    assert totals_of(hooks.sent[0], "bounced") == (1,)


@pytest.mark.parametrize("data", ["x", 7, None])
def test_a_signed_report_of_another_form_is_refused(hooks, data):
    assert hooks.post("json", *signed("json", data)) == 422


@pytest.mark.parametrize("data", [{}, {"action": "dance"}, [{"action": "dance"}, 3, "x"]])
def test_an_event_that_nobody_knows_is_kept_and_shown(hooks, data):
    events = data if isinstance(data, list) else [data]

    assert hooks.post("json", *signed("json", data)) == 204

    kept = db.session.query(Bounce).order_by(Bounce.id).all()
    assert [(row.kind.value, row.reason, json.loads(row.raw)) for row in kept] == [
        ("unreadable", "unknown_event", event) for event in events
    ]


def test_a_bad_entry_costs_that_entry_only(hooks):
    assert hooks.post("json", *signed("json", [3, SAID["json-hard"][1](hooks)])) == 204

    assert status_of(hooks.sent) == "bounced"


LEAVES = {
    "json": lambda h: {"action": "unsubscribe", "return_path": h.path},
    "mailgun": lambda h: {"event-data": {"event": "unsubscribed", "envelope": {"sender": h.path}}},
    "mailgun-606": lambda h: {
        "event-data": {
            "event": "failed",
            "reason": "suppress-unsubscribe",
            "envelope": {"sender": h.path},
            "delivery-status": {"code": 606},
        }
    },
    "postmark": lambda h: {"RecordType": "Bounce", "Type": "Unsubscribe", "Content": h.path},
    "postmark-change": lambda h: {
        "RecordType": "SubscriptionChange",
        "SuppressSending": True,
        "SuppressionReason": "ManualSuppression",
        "Origin": "Recipient",
        "Metadata": {"message": h.message_id.partition("@")[0]},
    },
    "sendgrid": lambda h: [{"event": "unsubscribe", "smtp-id": f"<{h.message_id}>"}],
    "sendgrid-group": lambda h: [{"event": "group_unsubscribe", "smtp-id": f"<{h.message_id}>"}],
    "brevo": lambda h: [{"event": "unsubscribed", "message-id": f"<{h.message_id}>"}],
}


@pytest.mark.parametrize("name", LEAVES)
def test_who_leaves_at_the_relay_has_left_here(hooks, name):
    assert hooks.post(name.partition("-")[0], *signed(name.partition("-")[0], LEAVES[name](hooks))) == 204

    db.session.expire_all()
    assert [item.status.value for item in hooks.sent[1].subscriptions] == ["unsubscribed"]


@pytest.mark.parametrize(
    ("relay", "say", "state"),
    [
        ("ses", lambda h: ses(h, "Bounce", bounce={"bounceType": "Transient", "bounceSubType": "General",
            "bouncedRecipients": [{}]}), "accepted"),
        ("mailgun", lambda h: {"event-data": {"event": "failed", "severity": "permanent", "reason":
            "suppress-complaint", "envelope": {"sender": h.path}, "delivery-status": {"code": 607}}},
            "complained"),
        ("brevo", lambda h: [{"event": "complaint", "message-id": f"<{h.message_id}>"}], "complained"),
        ("postmark", lambda h: {"RecordType": "Bounce", "Type": "AddressChange", "Content": h.path}, "accepted"),
        ("sendgrid", lambda h: [{"event": "dropped", "reason": "Invalid SMTPAPI header",
            "smtp-id": f"<{h.message_id}>"}], "bounced"),
    ],
)  # fmt: skip
def test_relays_speak_dialects(hooks, relay, say, state):
    assert hooks.post(relay, *signed(relay, say(hooks))) == 204

    assert status_of(hooks.sent) == state
    assert db.session.query(Suppression).count() == (state == "complained")


def test_mailguns_stamp_holds_for_a_quarter_of_an_hour_and_its_token_once(hooks):
    body, headers = signed("mailgun", SAID["mailgun-hard"][1](hooks))
    late, _headers = signed("mailgun", SAID["mailgun-hard"][1](hooks), at=NOW - timedelta(minutes=16))

    answers = [hooks.post("mailgun", body, headers) for _time in range(2)]

    assert (answers, hooks.post("mailgun", late, headers)) == ([204, 401], 401)


def test_the_sentence_with_which_sns_greets_a_topic_is_taken(hooks):
    greeting = "Successfully validated SNS topic for Amazon SES event publishing."

    assert hooks.post("ses", *signed("ses", greeting)) == 204
    assert db.session.query(Bounce).count() == 0


def test_a_relay_without_its_key_is_not_there(client):
    assert {client.post(f"/hooks/{relay}", json={}).status_code for relay in ("ses", "json", "other")} == {
        404
    }
