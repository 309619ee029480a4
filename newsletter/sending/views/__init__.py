"""The pages of staff about sending."""
