"""Tables of lists, subscribers, subscriptions, signups, and the evidence of consent."""

from newsletter.subscribers.models.consents import Consent, ConsentKind, Import, Purpose, Wording
from newsletter.subscribers.models.mailboxes import LinkPurpose, OneTimeLink, Suppression, SuppressionReason
from newsletter.subscribers.models.people import (
    AddressPart,
    MailingList,
    Subscriber,
    Subscription,
    SubscriptionStatus,
    TrackingState,
)
from newsletter.subscribers.models.signups import FunnelCount, FunnelStep, Signup, SignupList

__all__ = [
    "AddressPart",
    "Consent",
    "ConsentKind",
    "FunnelCount",
    "FunnelStep",
    "Import",
    "LinkPurpose",
    "MailingList",
    "OneTimeLink",
    "Purpose",
    "Signup",
    "SignupList",
    "Subscriber",
    "Subscription",
    "SubscriptionStatus",
    "Suppression",
    "SuppressionReason",
    "TrackingState",
    "Wording",
]
