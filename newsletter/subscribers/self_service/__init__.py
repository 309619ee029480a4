"""What subscribers do themselves: leave, come back, change their details."""
