"""Records that are only appended to: the hash chain over them, and the audit log."""
