"""Backup, restore, and the replay of erasures after a restore."""
