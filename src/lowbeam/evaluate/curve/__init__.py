"""Rate and distortion: CCC against bit rate over codecs, scales, QPs and frame rates."""
