"""What every page shares: the application, languages, signed tokens, logs."""
