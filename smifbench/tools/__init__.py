"""Commands beside the workflow: a user's own pair, verification, new methods."""
