"""The code interpreter as a tool: what a model is told of it, what it writes, and what is said of
the result. Runs nothing."""
