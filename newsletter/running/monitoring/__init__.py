"""How the service does: health, metrics, alerts and the state of periodic jobs."""
