"""The image network."""
