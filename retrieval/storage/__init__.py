"""Durable bytes: blobs, segments and indexes, in a folder or a bucket."""
