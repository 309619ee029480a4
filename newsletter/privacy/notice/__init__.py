"""The privacy notice (GDPR Art. 13) and the record of processing (Art. 30)."""
