"""Experiments: their configs, what they will take, and what became of their runs."""
