"""What keeps robots from signing people up."""
