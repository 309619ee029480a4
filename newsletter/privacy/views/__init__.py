"""The pages about privacy, public and of staff."""
