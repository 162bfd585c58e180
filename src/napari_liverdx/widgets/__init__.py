"""The dock: panels that show state and emit intentions."""
