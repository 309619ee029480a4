"""The pages a visitor and a recipient see. A GET changes nothing here; a POST needs only its token."""

from newsletter.subscribers.public import confirm, preferences, signup, unsubscribe
from newsletter.subscribers.public.blueprint import bp

__all__ = ["bp"]

#: They add their pages to the blueprint when they are imported.
PARTS = (signup, confirm, unsubscribe, preferences)
