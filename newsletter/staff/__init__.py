"""Staff: personal accounts, and who may see what."""
