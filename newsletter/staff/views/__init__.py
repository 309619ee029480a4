"""The pages on which staff sign in and manage accounts."""
