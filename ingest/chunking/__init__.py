"""Document -> chunks within the limits asked for."""
