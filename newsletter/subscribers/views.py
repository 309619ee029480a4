"""The pages a visitor and a recipient see. A GET changes nothing here; a POST needs only its token."""

from newsletter.subscribers import confirm_views, preferences_views, signup_views, unsubscribe_views
from newsletter.subscribers.pages import bp

__all__ = ["bp"]

#: They add their pages to the blueprint when they are imported.
PARTS = (signup_views, confirm_views, unsubscribe_views, preferences_views)
