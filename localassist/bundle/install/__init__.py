"""What ``install.sh`` does, out of localassist's own wheel. Standard library only."""
