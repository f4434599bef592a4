"""What all rooms need: problems and completions, errors, the answer grammar, files, specs, console, workers."""
