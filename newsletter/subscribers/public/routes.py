"""Registers the public pages on their blueprint. A GET changes nothing; a POST needs only its token."""

from newsletter.subscribers.public import confirm, preferences, signup, unsubscribe
from newsletter.subscribers.public.blueprint import bp

__all__ = ["bp"]

#: Modules that add their views to the blueprint when imported.
PARTS = (signup, confirm, unsubscribe, preferences)
