"""The laboratory's verbs, one a file."""
