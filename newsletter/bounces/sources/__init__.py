"""Where reports come from: mailbox, LMTP, webhooks of relays."""
