"""Every figure that Carrel claims, printed by a command: `python -m benchmarks NAME`."""
