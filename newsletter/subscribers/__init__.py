"""Subscribers: lists, people, their subscriptions, and the evidence of their consent."""
