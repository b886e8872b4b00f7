"""What the stages agree on: schema, records, geometry, crops, formats, metrics. Imports nothing else of the project."""
