"""What a process says about its work."""
