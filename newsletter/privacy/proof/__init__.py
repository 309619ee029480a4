"""Proof of consent, also after the person's data is gone (GDPR Art. 7(1))."""
