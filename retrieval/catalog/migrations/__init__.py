"""Steps from each schema to the next; `schema.py` runs them. One module per step, never changed once released."""
