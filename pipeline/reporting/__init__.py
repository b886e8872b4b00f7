"""What a run leaves for people: records, scores, tables, pictures."""
