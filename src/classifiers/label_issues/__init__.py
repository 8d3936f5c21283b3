"""Wrong and missing labels, found by image and interactions together."""
