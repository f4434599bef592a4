"""Ablations: a YAML file of arms and seeds -> runs -> one table of paired differences."""
