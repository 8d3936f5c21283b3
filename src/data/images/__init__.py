"""Images: decoded, stored, cropped, coloured."""
