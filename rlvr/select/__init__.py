"""Select training data before a run: by what the student profits from, or by difficulty."""
