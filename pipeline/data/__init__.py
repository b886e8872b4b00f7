"""The rows of a run: what is in the pictures, what is wrong with them, and which fold each is in."""
