"""What never changes: immutable files of embedded chunks."""
