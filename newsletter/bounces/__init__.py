"""Bounces and complaints: what comes back is believed only with our token, and blamed on the right side."""
