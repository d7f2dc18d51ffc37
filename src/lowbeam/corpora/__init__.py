"""Labelled faces: one adapter a file, all giving `LabelledFaces`.

`choose.load_faces` opens any of them. What is video is cut into faces once (`cut`) and kept (`cache`).
"""
