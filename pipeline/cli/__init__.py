"""The command line: options from signatures, verbs in groups, errors as one line."""
