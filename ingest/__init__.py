"""Bytes -> chunks -> vectors. Pure: knows no store, no queue, no HTTP, no settings."""
