"""Running: the processes, what they do when woken, and the commands that start them."""
