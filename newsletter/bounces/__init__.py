"""Bounces and complaints: reports are parsed, matched to a sent mail by its signed token, and applied."""
