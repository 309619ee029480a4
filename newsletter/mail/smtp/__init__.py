"""SMTP: the client, pipelining, transports, and what a server offers."""
