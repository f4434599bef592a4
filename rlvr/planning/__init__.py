"""Before a run: resolving a config, what the machine has, what a run costs, and ablations."""
