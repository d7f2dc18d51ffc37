"""Work shared out to the cores of this machine or of a Ray cluster."""

from lowbeam.pool.processes import cores
from lowbeam.pool.share import answered, shared
from lowbeam.pool.staff import Killed

__all__ = ["Killed", "answered", "cores", "shared"]
