"""REST: one module per resource, no rules of its own."""
