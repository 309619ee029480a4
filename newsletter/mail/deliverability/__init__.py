"""How receivers see us: SPF, DKIM, DMARC, and whether our messages follow the RFCs."""
