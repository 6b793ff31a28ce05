"""Typed settings, read once by whoever starts a process."""
