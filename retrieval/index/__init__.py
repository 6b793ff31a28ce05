"""What is derived: vector codes, keyword scores, and the snapshot that a search holds."""
