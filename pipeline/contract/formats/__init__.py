"""File formats, one a file: the only parsing and the only rounding."""
