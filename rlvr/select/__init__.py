"""BEFORE: which data."""
