"""A store as one file: written while it is in use, and read with nothing in it taken on trust."""
