"""Which problems come next while training: by difficulty, fresh ones, and their propensities."""
