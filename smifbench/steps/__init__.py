"""The commands that the workflow's rules call, a module a rule."""
