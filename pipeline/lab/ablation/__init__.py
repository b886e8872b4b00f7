"""Ablations: named settings, each trained with several seeds, in one table."""
