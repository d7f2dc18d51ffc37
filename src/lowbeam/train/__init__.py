"""The school: degradations, losses, the stages of training, and the recipes (the `train` extra)."""
