"""How fast lowbeam is, measured: ``make bench``."""
