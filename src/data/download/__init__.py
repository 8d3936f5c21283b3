"""Fetching raw files and images from the web: whole, checked and recorded, or not at all."""
