"""Bytes -> Document. `registry.parse` is the only door."""
