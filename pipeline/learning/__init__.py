"""How either stage learns: options, optimizer, the loop, loading, colours, backbones, files of weights."""
