"""The page on the replication of Cheng et al. 2017, and the ablation on transferred convolutions."""
