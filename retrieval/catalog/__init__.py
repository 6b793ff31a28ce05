"""What changes: rows in SQLite or PostgreSQL, behind one commit."""
