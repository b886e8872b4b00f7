"""Some minutes of a GPU, prepared: pack what travels, run three steps there, bring back what they made (docs/gpu.md)."""
