"""The compiled message: bytes made once per edition, filled in per recipient."""
