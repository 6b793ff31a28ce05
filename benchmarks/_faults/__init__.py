"""The faults of `python -m benchmarks faults`, by what is disturbed."""
