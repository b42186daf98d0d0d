"""Models from a hub or a mirror. Nothing else of the registry knows a network."""
