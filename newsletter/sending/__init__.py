"""Sending: every campaign to every recipient once, whatever dies on the way."""
