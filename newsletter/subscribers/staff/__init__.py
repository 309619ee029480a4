"""The pages of staff about lists and subscribers."""
