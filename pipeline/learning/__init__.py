"""How either stage learns: options, optimizer, fit loop, data loading, photometric augmentation, backbones, weights files."""
