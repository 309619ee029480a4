"""``newsletter doctor``: what is in order and what is not."""
