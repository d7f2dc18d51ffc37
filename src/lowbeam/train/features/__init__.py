"""Trains the networks of the features codec, end to end: rate, affect and picture."""
