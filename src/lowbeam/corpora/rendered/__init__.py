"""Rendered talking faces with known valence and arousal (the `render` extra)."""
