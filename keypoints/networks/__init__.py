"""Networks from crops (B, 3, h, w) to the K maps that a codec decodes."""
