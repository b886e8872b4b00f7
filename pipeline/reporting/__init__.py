"""What a run leaves for people: scores, tables, pictures, pages."""
