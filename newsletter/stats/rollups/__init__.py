"""Counters kept up to date as events arrive."""
