"""Measuring completions that were made elsewhere: files of rows, and the logs of other tools, become evaluations."""
