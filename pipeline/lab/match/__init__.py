"""Boxes of training against boxes of testing: their distributions, and the matrix of errors."""
