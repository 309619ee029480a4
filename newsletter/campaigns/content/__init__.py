"""The body of a newsletter: from Markdown to both parts of the mail, its checks and its pictures."""
