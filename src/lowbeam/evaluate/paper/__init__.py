"""The experiment of Cheng et al. 2017: networks trained and tested, and a verdict on each claim."""
