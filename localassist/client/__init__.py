"""The official SDK as the in-process client: one surface, no port open."""
