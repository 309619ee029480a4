"""How often something may happen, counted for all processes of an instance."""
