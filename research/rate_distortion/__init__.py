"""The page on rate and distortion, its measurements, and the operating table of `lowbeam pack --budget`."""
