"""What a network learns from: targets, their weights, and batches."""
