"""Consent: its texts, its evidence, and the choice about tracking."""
