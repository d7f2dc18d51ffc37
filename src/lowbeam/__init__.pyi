# The public names of lowbeam, listed once: for type checkers, and at run time for __init__.py, which reads the imports
# line by line.
from .archive import Outcome as Outcome
from .archive import batch as batch
from .archive import report as report
from .errors import CodecError as CodecError
from .errors import CorpusError as CorpusError
from .errors import LowbeamError as LowbeamError
from .errors import ModelError as ModelError
from .errors import NoFaceError as NoFaceError
from .errors import OutputError as OutputError
from .errors import SourceError as SourceError
from .errors import StreamError as StreamError
from .errors import UsageError as UsageError
from .face import Box as Box
from .face import Face as Face
from .faces import FrameFaces as FrameFaces
from .pipeline import Packed as Packed
from .pipeline import Reader as Reader
from .pipeline import pack as pack
from .pipeline import read as read
from .pipeline import stream as stream
from .recognize import Estimates as Estimates
from .recognize import Recognizer as Recognizer
from .recognize import shipped_models as shipped_models
from .restore import Restorer as Restorer
from .sending import Sent as Sent
from .sending import send as send
from .trace import Estimate as Estimate
from .trace import Trace as Trace
from .trace import load_csv as load_csv

__version__: str
