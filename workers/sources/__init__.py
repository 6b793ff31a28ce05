"""Listers: what a source holds now, and the bytes of one item. One port, three kinds of places."""
