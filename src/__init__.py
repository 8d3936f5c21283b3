"""Collaborative image understanding: image classifiers that learn from who interacted with what."""
