"""Labelled corpora: one adapter per file, each giving `LabelledFaces`.

`choose.load_faces` opens any of them. Faces are cropped from videos once (`cut`) and stored (`cache`).
"""
