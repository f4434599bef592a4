"""AFTER: which decision? Utility is applied here, to an honest signal; one idea per file."""
