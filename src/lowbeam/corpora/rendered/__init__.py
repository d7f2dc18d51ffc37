"""People who do not exist, drawn with the valence and arousal that move their faces (the `render` extra)."""
