"""The verbs of the command line, one a file: read and check the input, call the stages, write results."""
