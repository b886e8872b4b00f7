"""The laboratory: ablations, studies of boxes and what only they need. The product imports nothing of it."""
