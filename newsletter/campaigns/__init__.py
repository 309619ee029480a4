"""Campaigns: one issue, written in one or more languages, for one or more lists."""
