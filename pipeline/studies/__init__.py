"""Studies: named overrides -> runs -> one table. They know runs and tables, and no stage."""
