"""Measurements of the recognizers for their documentation: shifted boxes, calibration on tracked faces."""
