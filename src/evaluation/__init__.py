"""How well the methods do on test images, and which differences between them are real."""
