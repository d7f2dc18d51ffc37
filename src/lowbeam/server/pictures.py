"""Faces as PNG pictures in data URLs: as received, and restored. Restoration runs in one thread, a few faces a second,
and only for faces that someone looks at."""

import asyncio
import base64
import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from lowbeam.errors import LowbeamError
from lowbeam.face import Grey
from lowbeam.restore import Restorer
from lowbeam.scale import FACE_SIDE, MIN_SIDE
from lowbeam.server.face_png import face_png

log = logging.getLogger(__name__)
PAUSE_S = 0.4  # between two restorations
KEPT = 200  # pictures of each kind

Key = tuple[int, int]  # a stream and a person in it


def data_url(face: Grey) -> str:
    """A grey face, uint8 (h, w), as a PNG in a data URL."""
    return "data:image/png;base64," + base64.b64encode(face_png(face)).decode()


class Pictures:
    """The newest pictures, shared by all who look."""

    def __init__(self) -> None:
        self._received: OrderedDict[Key, tuple[Grey, str]] = OrderedDict()
        self._restored: OrderedDict[Key, tuple[Grey, str]] = OrderedDict()
        self._wanted: OrderedDict[Key, Grey] = OrderedDict()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "restore")
        self._restorer: Restorer | None = None

    def received(self, key: Key, face: Grey) -> str:
        """The received face as a data URL."""
        if (kept := self._received.get(key)) is None or kept[0] is not face:
            kept = face, data_url(face)
            _keep(self._received, key, kept)
        return kept[1]

    def restored(self, key: Key, face: Grey) -> str | None:
        """The last restored face of this person as a data URL, None if there is none yet. `face` is restored soon."""
        kept = self._restored.get(key)
        if (kept is None or kept[0] is not face) and MIN_SIDE <= len(face) <= FACE_SIDE:
            self._wanted[key] = face  # keeps its place in the order, so that everyone has a turn
            while len(self._wanted) > KEPT:
                self._wanted.popitem(last=False)
            self._wake.set()
        return kept[1] if kept else None

    async def run(self) -> None:
        """Restore what is wanted, until cancelled or the restorer fails."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._wake.wait()
                if not self._wanted:
                    self._wake.clear()
                    continue
                key, face = self._wanted.popitem(last=False)
                began = time.monotonic()
                url = await loop.run_in_executor(self._thread, self._restore, face)
                _keep(self._restored, key, (face, url))
                await asyncio.sleep(max(PAUSE_S, time.monotonic() - began))  # half a core at most
        except LowbeamError as error:
            log.error("faces are not restored: %s", error)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _restore(self, face: Grey) -> str:
        if self._restorer is None:
            self._restorer = Restorer()
        return data_url(self._restorer(face[None])[0])


def _keep(pictures: OrderedDict[Key, tuple[Grey, str]], key: Key, picture: tuple[Grey, str]) -> None:
    pictures[key] = picture
    pictures.move_to_end(key)
    if len(pictures) > KEPT:
        pictures.popitem(last=False)
