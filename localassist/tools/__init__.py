"""What a run may call: declared tools, their grammars, and tool calling for small models."""
