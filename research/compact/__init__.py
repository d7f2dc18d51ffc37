"""Codecs that send estimates or features instead of pixels: what they are compared with, and what they tell about who
a person is."""
