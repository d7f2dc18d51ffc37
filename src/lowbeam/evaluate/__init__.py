"""Measurements of models on labelled corpora: scores by scale, rate and distortion, the replication."""
