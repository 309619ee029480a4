"""Delivery: lease a batch, personalise, hand over by SMTP, record the reply."""
