"""Runs code that nobody has read, in a Jupyter kernel that can reach nothing but its own folder."""
