"""From the rows that a user has to what a network sees: distinct rows, encoding, scales, limits, targets."""
