"""Requests of data subjects (GDPR Art. 15-22): register, deadlines, replies."""
