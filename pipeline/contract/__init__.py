"""What the stages agree on: schema, records, geometry, tables, metric, folds. Imports nothing else of the project."""
