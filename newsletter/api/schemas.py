"""Schemas of API requests and responses, as shown in the OpenAPI document."""

from datetime import datetime, timedelta
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from newsletter.clock import utcnow
from newsletter.config import current_settings
from newsletter.moments import read_clock_time
from newsletter.privacy.models import RequestKind, RequestStatus
from newsletter.privacy.requests.register import SCOPE_LABELS, STAFF_CHANNELS
from newsletter.sending.lifecycle.send_window import MAX_SPREAD

#: Control characters except line breaks and tabs; refused in text.
_CONTROL_CHARACTERS = {chr(code) for code in (*range(32), 127)} - {"\n", "\r", "\t"}
#: The largest id of a PostgreSQL integer column.
MAX_ID = 2**31 - 1


class StrictSchema(Schema):
    """Schema that refuses unknown fields, so that a mistyped one is not ignored silently."""

    class Meta:
        """For marshmallow."""

        unknown = RAISE


class Moment(fields.AwareDateTime):
    """A day and a time with an offset, read by the reader of all the others."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - marshmallow's own
        super().__init__(**options)
        self.DESERIALIZATION_FUNCS = {"iso": read_clock_time}


def text_field(longest: int, **more: Any) -> fields.String:  # noqa: ANN401 - marshmallow's own
    """Return a string field of 1 to ``longest`` characters, without control characters."""
    return fields.String(validate=[validate.Length(min=1, max=longest), _check_storable], **more)


def _check_storable(value: str) -> None:
    if not set(value).isdisjoint(_CONTROL_CHARACTERS):
        raise ValidationError("No control characters.")
    # JSON escapes can hold lone surrogates, which no database or mail accepts.
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise ValidationError("No half characters.")


def _check_language(value: str) -> None:
    if value not in current_settings().languages:
        raise ValidationError("Not one of our languages.")


class Paging(StrictSchema):
    """Keyset pagination, stable while rows are inserted and deleted."""

    after = fields.Integer(
        validate=validate.Range(min=0, max=MAX_ID),
        metadata={"description": "The number of the last one of the page before: its `next`."},
    )
    limit = fields.Integer(load_default=50, validate=validate.Range(min=1, max=200))


class ListOut(Schema):
    """A newsletter in one language."""

    slug = fields.String(required=True)
    name = fields.String(required=True)
    language = fields.String(required=True)
    topics = fields.String(required=True)
    frequency = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)


class ListIn(StrictSchema):
    """A list to be made."""

    slug = text_field(60, required=True)
    name = text_field(200, required=True)
    language = text_field(2, required=True)
    topics = fields.String(load_default="", validate=[validate.Length(max=500), _check_storable])
    frequency = fields.String(load_default="", validate=[validate.Length(max=200), _check_storable])


class ListsOut(Schema):
    """All lists."""

    items = fields.List(fields.Nested(ListOut), required=True)


class SubscriptionOut(Schema):
    """One subscriber on one list."""

    list = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["pending", "confirmed", "unsubscribed"]))
    created_at = fields.AwareDateTime(required=True)
    confirmed_at = fields.AwareDateTime(required=True, allow_none=True)
    unsubscribed_at = fields.AwareDateTime(required=True, allow_none=True)


class SubscriberOut(Schema):
    """A subscriber."""

    id = fields.Integer(required=True)
    address = fields.String(required=True)
    language = fields.String(required=True)
    tracking = fields.String(required=True, validate=validate.OneOf(["unknown", "refused", "granted"]))
    #: What that means under the mode in force.
    is_measured = fields.Boolean(required=True)
    #: What the address must not be used for.
    objections = fields.List(fields.String(validate=validate.OneOf(list(SCOPE_LABELS))), required=True)
    is_restricted = fields.Boolean(required=True)
    created_at = fields.AwareDateTime(required=True)
    subscriptions = fields.List(fields.Nested(SubscriptionOut), required=True)


class SubscribersIn(Paging):
    """Which people."""

    list = fields.String(validate=[validate.Length(min=1, max=60), _check_storable])


class SubscribersOut(Schema):
    """A page of people."""

    items = fields.List(fields.Nested(SubscriberOut), required=True)
    next = fields.Integer(required=True, allow_none=True)


class ProofOut(Schema):
    """The proof of consent of one subscriber."""

    address = fields.String(required=True)
    is_held = fields.Boolean(required=True)
    facts = fields.List(fields.Dict(), required=True)


class EndIn(StrictSchema):
    """Which subscriptions to end; all without it."""

    lists = fields.List(text_field(60), load_default=None, allow_none=True, validate=validate.Length(max=100))


class RequestOut(Schema):
    """A rights request. The address is null after an erasure."""

    id = fields.Integer(required=True)
    kind = fields.String(required=True, validate=validate.OneOf([kind.value for kind in RequestKind]))
    status = fields.String(required=True, validate=validate.OneOf([kind.value for kind in RequestStatus]))
    address = fields.String(required=True, allow_none=True)
    details = fields.String(required=True, allow_none=True)
    scopes = fields.List(fields.String(), required=True)
    channel = fields.String(required=True)
    language = fields.String(required=True)
    received_at = fields.AwareDateTime(required=True)
    due_on = fields.Date(required=True)
    extended_at = fields.AwareDateTime(required=True, allow_none=True)
    decided_at = fields.AwareDateTime(required=True, allow_none=True)


class RequestsIn(Paging):
    """Which requests."""

    status = fields.String(validate=validate.OneOf([kind.value for kind in RequestStatus]))


class RequestsOut(Schema):
    """A page of requests."""

    items = fields.List(fields.Nested(RequestOut), required=True)
    next = fields.Integer(required=True, allow_none=True)


class RequestIn(StrictSchema):
    """A request that reached another system."""

    kind = fields.String(required=True, validate=validate.OneOf([kind.value for kind in RequestKind]))
    address = fields.String(required=True, validate=[validate.Length(min=1, max=320), _check_storable])
    channel = fields.String(required=True, validate=validate.OneOf(STAFF_CHANNELS))
    language = fields.String(
        load_default=None,
        allow_none=True,
        validate=[_check_language],
        metadata={"description": "Of the answer."},
    )
    details = fields.String(load_default="", validate=[validate.Length(max=4000), _check_storable])
    scopes = fields.List(
        fields.String(validate=validate.OneOf(list(SCOPE_LABELS))),
        load_default=list,
        validate=validate.Length(max=len(SCOPE_LABELS)),
        metadata={"description": "What an objection is to."},
    )


class EditionOut(Schema):
    """A campaign in one language, as it is written."""

    language = fields.String(required=True)
    subject = fields.String(required=True)
    preview = fields.String(required=True)
    body = fields.String(required=True, metadata={"description": "Markdown."})


class EditionIn(StrictSchema):
    """What an edition is to say."""

    subject = text_field(250, required=True)
    preview = fields.String(load_default="", validate=[validate.Length(max=250), _check_storable])
    body = text_field(100_000, required=True, metadata={"description": "Markdown."})


def _check_within_a_year(moment: datetime) -> None:
    if abs(moment - utcnow()) > timedelta(days=366):
        raise ValidationError("More than a year away.")


class SendIn(StrictSchema):
    """When and how to send; by default at once, to all."""

    at = Moment(
        load_default=None,
        allow_none=True,
        validate=_check_within_a_year,
        metadata={"description": "When to begin, with an offset; at most a year ahead. Without it: now."},
    )
    over_hours = fields.Integer(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=1, max=MAX_SPREAD // timedelta(hours=1)),
        metadata={"description": "Spread the recipients over so many hours."},
    )
    despite_preflight = fields.Boolean(
        load_default=False,
        metadata={
            "description": "Send although mail may not arrive as it should. Takes `campaigns:override`"
            " as well, and the audit log keeps it."
        },
    )


class CampaignOut(Schema):
    """One issue."""

    id = fields.Integer(required=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf(["draft", "scheduled", "sending", "paused", "sent", "cancelled"]),
    )
    lists = fields.List(fields.String(), required=True)
    subject = fields.String(required=True)
    languages = fields.List(fields.String(), required=True)
    created_at = fields.AwareDateTime(required=True)
    started_at = fields.AwareDateTime(required=True, allow_none=True)
    scheduled_at = fields.AwareDateTime(required=True, allow_none=True)
    finished_at = fields.AwareDateTime(required=True, allow_none=True)
    over_hours = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Over how many hours its recipients are spread; null when they are not."},
    )


class CampaignIn(StrictSchema):
    """A campaign to be written."""

    lists = fields.List(text_field(60), required=True, validate=validate.Length(min=1, max=100))
    subject = text_field(250, required=True)
    body = text_field(200_000, required=True, metadata={"description": "Markdown."})
    preview = fields.String(load_default="", validate=[validate.Length(max=250), _check_storable])
    language = fields.String(
        load_default=None, allow_none=True, validate=[validate.Length(max=2), _check_storable]
    )


class CampaignsOut(Schema):
    """A page of campaigns, newest first."""

    items = fields.List(fields.Nested(CampaignOut), required=True)
    next = fields.Integer(required=True, allow_none=True)


class EditionPreview(Schema):
    """An edition as it will be sent, with placeholders for personal links."""

    language = fields.String(required=True)
    subject = fields.String(required=True)
    text = fields.String(required=True)
    html = fields.String(required=True)


class PreviewOut(Schema):
    """All editions."""

    editions = fields.List(fields.Nested(EditionPreview), required=True)


class ReadsOut(Schema):
    """Opens or clicks."""

    human = fields.Integer(required=True)
    machine = fields.Integer(required=True)
    unique_human = fields.Integer(required=True)


class LinkOut(ReadsOut):
    """What became of one link."""

    url = fields.String(required=True)


class FiguresOut(Schema):
    """A campaign in numbers. Opens and clicks are known only of the `measured`."""

    recipients = fields.Integer(required=True)
    queued = fields.Integer(required=True)
    deferred = fields.Integer(required=True)
    accepted = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    bounced = fields.Integer(required=True)
    complained = fields.Integer(required=True)
    skipped = fields.Integer(required=True)
    uncertain = fields.Integer(required=True)
    unsubscribed = fields.Integer(required=True)
    measured = fields.Integer(required=True)
    opens = fields.Nested(ReadsOut, required=True)
    clicks = fields.Nested(ReadsOut, required=True)
    links = fields.List(fields.Nested(LinkOut), required=True)
    as_of = fields.String(required=True)


class AddressIn(StrictSchema):
    """An address, in the body: it must not be in a URL, and so in no log."""

    address = fields.String(required=True, validate=[validate.Length(min=1, max=320), _check_storable])


class SuppressionOut(Schema):
    """Whether and why an address is suppressed."""

    is_suppressed = fields.Boolean(required=True)
    reason = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True, allow_none=True)


class ProblemOut(Schema):
    """A problem document (RFC 9457)."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    code = fields.String(required=True, metadata={"description": "Stable, for programs."})
    detail = fields.String(required=True)
    errors = fields.Dict()
