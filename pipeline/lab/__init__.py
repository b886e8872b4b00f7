"""The laboratory: ablations, comparisons of boxes, pseudo-labels, and what only they need. The product imports nothing of it."""
