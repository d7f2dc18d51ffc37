"""Rate and distortion: what emotion costs in bits, over codecs, scales, QPs and frame rates."""
