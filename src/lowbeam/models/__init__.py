"""PyTorch networks and their ONNX export (the `train` extra); the street never imports this."""
