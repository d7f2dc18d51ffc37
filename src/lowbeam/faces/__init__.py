"""Face detection, tracking and cropping: frames in, HR faces out."""

from lowbeam.faces.crop import crop
from lowbeam.faces.detect import Detector, make_detector
from lowbeam.faces.frame_faces import FrameFaces
from lowbeam.faces.track import FaceTracker, Sighting

__all__ = ["Detector", "FaceTracker", "FrameFaces", "Sighting", "crop", "make_detector"]
