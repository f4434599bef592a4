"""What all rooms need: records, errors, the answer grammar, files, specs, the console, worker processes."""
