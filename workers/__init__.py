"""Who does the work, when, and what happens if it fails. Nothing imports this."""
