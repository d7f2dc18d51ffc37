"""Compact codecs send numbers instead of pixels, several samples to a packet: estimates, or learned features."""
