"""Reward terms: building them from specs, limiting what they may take, and auditing what they pay for."""
