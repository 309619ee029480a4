"""Privacy: what is kept how long, the yearly purge, and erasure at once."""
