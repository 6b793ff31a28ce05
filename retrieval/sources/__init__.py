"""What a source may be, before anybody reads it: schedules, patterns, templates, permits. Pure."""
