"""Resources of the API: one module for each kind of thing a program can read or change."""
