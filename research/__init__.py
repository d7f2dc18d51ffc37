"""Ablations, and the pages and plots of the documentation; run from a checkout as ``python -m research``."""
