"""Training boxes against test boxes: their distributions, and the matrix of errors."""
