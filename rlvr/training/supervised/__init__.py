"""Supervised steps: the warm-up, and calibration of the stated confidence."""
