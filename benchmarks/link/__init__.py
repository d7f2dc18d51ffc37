"""The live link, measured over real interfaces with a limited rate and losses."""
