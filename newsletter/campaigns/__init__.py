"""Campaigns: issues of a newsletter, each in one or more languages, for one or more lists."""
