"""Signing up and confirming (double opt-in)."""
