"""The report of an ablation: its table, paired differences, and files for a paper."""
