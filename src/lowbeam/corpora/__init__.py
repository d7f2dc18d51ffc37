"""Labelled recordings and stills, one adapter a file."""
