"""The rows of a run: what is in the pictures, what is wrong with them, how they are dealt into folds."""
