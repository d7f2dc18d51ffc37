"""The lab: how good the shipped weights are, by measurement."""
