"""A campaign from draft to sent: audience, checks, start, control, progress."""
