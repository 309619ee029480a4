"""What servers, relays and mailboxes say to a mail, and whose fault that is."""
