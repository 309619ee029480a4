"""All that is held about one person, collected and put in words."""
