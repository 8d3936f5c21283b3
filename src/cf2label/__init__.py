"""CF2Label: labels from CF vectors alone (paper, section 4.2)."""
