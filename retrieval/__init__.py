"""What exists, what can be found, and who may ask."""
