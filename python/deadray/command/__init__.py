"""The command `python -m deadray`."""
