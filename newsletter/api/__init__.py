"""REST API: one module per resource; the rules are those of the domain packages."""
