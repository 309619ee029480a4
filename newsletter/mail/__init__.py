"""Mail: message, template to text and HTML, outbox, transport."""
