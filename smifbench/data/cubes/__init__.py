"""Cubes in files: reading, writing and describing them."""
