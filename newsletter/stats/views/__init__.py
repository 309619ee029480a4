"""The pages of staff with figures."""
