"""The paper's experiment: every system that Cheng et al. 2017 (arXiv 1709.03126) compares, trained in the same way."""
