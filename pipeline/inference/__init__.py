"""From trained networks to predictions: box sources, the run over a set of images, and its shards."""
