"""What a run folder is: provenance, locks, staged outputs, resume."""
