"""The words of docs/findings/calibration.md."""

PAGE_TEXT = ""
