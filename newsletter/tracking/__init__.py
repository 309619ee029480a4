"""Tracking: links out; the gateway, opens, clicks and addresses in."""
