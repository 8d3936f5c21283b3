"""From raw tables and images to a prepared dataset."""
