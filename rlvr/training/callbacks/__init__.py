"""What watches a run from outside the loop: progress, alarms, limits and signals."""
