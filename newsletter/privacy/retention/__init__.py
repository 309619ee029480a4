"""Storage limitation (GDPR Art. 5(1)(e)): the purge of January, erasure, daily deadlines."""
