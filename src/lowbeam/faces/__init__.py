"""Face detection, tracking and cropping: frames in, HR faces out."""

from lowbeam.faces.crop import crop
from lowbeam.faces.detect import Detection, Detector, YunetDetector
from lowbeam.faces.frame_faces import FrameFaces
from lowbeam.faces.track import FaceTracker, Sighting

__all__ = ["Detection", "Detector", "FaceTracker", "FrameFaces", "Sighting", "YunetDetector", "crop"]
