"""The SMIF-NET paper: what it printed, and how that compares with what was measured."""
