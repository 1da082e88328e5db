"""What scripts/calibration makes its files from."""
