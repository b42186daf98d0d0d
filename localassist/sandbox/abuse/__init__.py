"""Attacks on the code interpreter, to be run where it runs: what each tries, what stops it, and
whether it does. Each attack is data; ``runner`` carries them out."""
