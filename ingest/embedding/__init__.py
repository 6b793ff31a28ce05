"""Texts -> vectors: the port, and its three adapters."""
