"""What the verbs of the command line do, a file a group: read and check the input, call the stages, write results."""
