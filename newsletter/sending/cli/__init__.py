"""The commands about sending."""
