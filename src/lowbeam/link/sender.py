"""Sends the faces of one source: the sender over UDP, in a thread of its own beside the program that codes."""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from lowbeam.codec import CODECS
from lowbeam.codec.cues import BoxCue
from lowbeam.codec.layers import LayeredFace, Layers, TrackLayers
from lowbeam.codec.policy import Mirror, NoMirror
from lowbeam.errors import LowbeamError, OutputError, UsageError, reason
from lowbeam.face import Face
from lowbeam.link.messages import Ask
from lowbeam.link.recording_sender import RecordingSender
from lowbeam.link.sender_connection import NetworkAddress, SendingOptions
from lowbeam.link.sending_core import SendingCore, State
from lowbeam.link.spool import Spool

MAX_PACKET = 65536
MAX_ENCODERS = 12  # of people out of view; each holds 4 MB or more
RENEW_S = 5.0  # between new sockets while nothing gets through
NOWHERE = ("0.0.0.0", 0)  # in place of an address that is not known yet

log = logging.getLogger(__name__)


class Sender:
    """Codes faces in `layers` and sends them to a receiver. A context manager::

        with Sender(options, spool, layers, name="camera") as sender:
            for frame in frames:
                if layers.looks_at(frame.time_s):
                    sender.send(frame.time_s, find_faces(frame, tracker, "primary").faces)
            sender.finish(timeout_s=60)

    Faces that cannot be sent are kept in `spool` and sent later. `make_mirror` makes the mirror of a track's receiver.
    `is_fast` sends nothing as it is made, but everything in order, as fast as the link carries it. `on_ask` is called
    in the sender's thread with each request of the receiver. A receiver that cannot be reached, or whose name has no
    address yet, is tried again and again. Raises `OutputError` if the receiver refuses the stream, `UsageError` if the
    receiver's name is malformed.
    """

    def __init__(
        self, options: SendingOptions, spool: Spool, layers: Layers, *, name: str,
        make_mirror: Callable[[], Mirror] = NoMirror, is_fast: bool = False,
        on_ask: Callable[[Ask], None] = lambda ask: None,
    ) -> None:  # fmt: skip
        self._options, self._spool, self._layers = options, spool, layers
        self._make_mirror, self._is_fast = make_mirror, is_fast
        self._lock = threading.Lock()  # around the core
        self._socket, peer = self._first_socket()
        self._recording = RecordingSender(spool, spool.begin(name), is_live=True, repair=options.repair)
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self.core = SendingCore(options, peer, spool, self._recording, time.monotonic(), on_ask)
        self._tracks: dict[int, TrackLayers] = {}  # by face
        self._used_s: dict[int, float] = {}
        self._is_ending = False
        self._renew_s = 0.0
        self._error: LowbeamError | None = None
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def may_code(self) -> bool:
        """Whether another face is to be coded now."""
        with self._lock:
            return self.core.may_code

    @property
    def budget_bps(self) -> float:
        """Bits per second for the faces of the source."""
        with self._lock:
            return self.core.budget_bps

    def send(self, time_s: float, faces: list[Face], point: str = "") -> int:
        """Code and send the faces of the frame at `time_s` (seconds); returns the number of coded faces or packets.
        Raises `OutputError` or `CodecError`."""
        self._check()
        with self._lock:
            is_restarting = self.core.take_key_request()
            self.core.point = point
        coded = self._flush() if is_restarting else 0
        for face, track in self._tracks.items():
            coded += self._add(face, track.finish_by(time_s))
        for one in faces:
            coded += self._code(one)
        if coded:
            self._wake()
        return coded

    def _code(self, face: Face) -> int:
        track = self._tracks.get(face.id)
        if track is None:
            track = TrackLayers(self._layers, self._make_mirror(), is_config_in_band=False)
            self._tracks[face.id] = track
        self._used_s[face.id] = face.time_s
        coded = self._add(face.id, track.encode(face), BoxCue(face.id, face.box))
        if len(self._tracks) > MAX_ENCODERS:
            unused = min(self._used_s, key=lambda key: self._used_s[key])
            self._used_s.pop(unused)
            coded += self._add(unused, self._tracks[unused].flush())
            del self._tracks[unused]
        return coded

    def _add(self, face: int, coded: list[LayeredFace], key_box: BoxCue | None = None) -> int:
        """Give coded faces or packets to the recording, each layer as a track; returns their number. Key faces of
        pixels go with their box."""
        for one in coded:
            placed, header = one.placed, self._tracks[face].encoders[one.layer].coded_header
            moved = next((cue for cue in placed.cues if isinstance(cue, BoxCue)), None)
            has_pixels = CODECS[header.codec].kind == "pixels"
            box = key_box if has_pixels and placed.coded.is_key else moved
            with self._lock:
                is_up = self.core.is_live() and not self._is_fast
                number = len(self._layers.policies) * face + one.layer
                self._recording.add(placed.coded, number, header, box, is_up)
        return len(coded)

    def _flush(self) -> int:
        """End what the encoders have begun; returns the number of packets."""
        return sum(self._add(face, track.flush()) for face, track in self._tracks.items())

    def finish(self, timeout_s: float = 30.0) -> bool:
        """The source has ended: wait until the receiver has stored everything, at most `timeout_s` seconds. Returns
        whether it has. Raises `OutputError`."""
        self._flush()
        with self._lock:
            self.core.end()
        self._wake()
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            self._check()
            with self._lock:
                if self.core.is_done:
                    return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """End the connection. What was not stored stays in the spool."""
        with suppress(LowbeamError):
            self._flush()
        self._is_ending = True
        self._wake()
        self._thread.join(timeout=5)
        for one in (self._socket, self._wake_in, self._wake_out):
            one.close()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        with suppress(OSError):
            self._wake_out.send(b"\0")

    def _run(self) -> None:
        """The thread: sockets and time in, datagrams out."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._wake_in, selectors.EVENT_READ)
                while not self._is_ending:
                    self._step(selector)
            if not self._has_peer:
                return
            with self._lock:
                if self.core.state is not State.REFUSED:
                    self._put(self.core.flush(time.monotonic()))
                self._put(self.core.close(time.monotonic()))
        except LowbeamError as error:
            self._error = error
        except Exception as error:  # a defect: the program that codes must not go on without a link
            log.exception("the link to %s has failed", self._options.address)
            self._error = OutputError(f"the link to {self._options.address} has failed: {reason(error)}")

    def _first_socket(self) -> tuple[socket.socket, NetworkAddress]:
        """The first socket, not connected where there is no network: a camera may start before it."""
        try:
            made = _connected(self._options)
        except OutputError as error:
            self._has_peer = False
            log.warning("%s; trying again every %g s", error, RENEW_S)
            return socket.socket(socket.AF_INET, socket.SOCK_DGRAM), NOWHERE
        self._has_peer = True
        return made

    def _step(self, selector: selectors.BaseSelector) -> None:
        if not self._has_peer:
            self._seek_peer(selector)
            return
        with self._lock:
            now = time.monotonic()
            before = self.core.state
            self._put(self.core.poll(now))
            wait_s = self.core.next_time(now) - now
            self._tell(before)
            is_lost = self.core.state in (State.STALLED, State.WAITING) and now >= self._renew_s
        if is_lost:
            self._renew(selector)
        if selector.select(max(wait_s, 0.0)):
            self._drain()
            self._receive()

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            self._wake_in.recv(4096)

    def _seek_peer(self, selector: selectors.BaseSelector) -> None:
        """Wait a while, then look for the receiver's address again."""
        wait_s = self._renew_s - time.monotonic()
        if wait_s > 0:
            if selector.select(wait_s):
                self._drain()
            return
        self._renew(selector)
        if self._has_peer:
            with self._lock:
                self.core.unreachable(time.monotonic())  # the connection that was begun to nowhere is made anew

    def _renew(self, selector: selectors.BaseSelector) -> None:
        """Go on from another socket: this machine may have another address now, and the receiver's name too. QUIC keeps
        the connection."""
        self._renew_s = time.monotonic() + RENEW_S
        try:
            made, peer = _connected(self._options)
        except OutputError as error:  # no network, or no name server: later
            log.debug("%s", error)
            return
        if self._is_ending:  # the name server took its time, and the sockets may be closed
            made.close()
            return
        self._has_peer = True
        with self._lock:
            selector.unregister(self._socket)
            self._socket.close()
            self._socket = made
            selector.register(made, selectors.EVENT_READ)
            self.core.change_peer(peer)

    def _tell(self, before: State) -> None:
        """Log a change of state; a refusal is an error of the program."""
        if self.core.state is State.REFUSED:
            self._is_ending = True
            raise OutputError(self.core.why)
        if self.core.state is not before:
            log.info("the link to %s is %s", self._options.address, self.core.state.value)

    def _put(self, datagrams: list[bytes]) -> None:
        for data in datagrams:
            try:
                self._socket.send(data)
            except ConnectionRefusedError:
                self.core.unreachable(time.monotonic())
            except OSError as error:  # no route: as if it were lost
                log.debug("a packet cannot be sent: %s", reason(error))

    def _receive(self) -> None:
        while True:
            try:
                data = self._socket.recv(MAX_PACKET)
            except BlockingIOError:
                return
            except OSError:
                with self._lock:
                    self.core.unreachable(time.monotonic())
                return
            with self._lock:
                self.core.receive(data, time.monotonic())


def _connected(options: SendingOptions) -> tuple[socket.socket, NetworkAddress]:
    """A UDP socket for the receiver's address. Raises `OutputError` if there is no way to it now, `UsageError` if its
    name cannot be one."""
    host, port = options.address.host, options.address.port
    made: socket.socket | None = None
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        made.connect(place)
    except OSError as error:
        if made is not None:
            made.close()
        raise OutputError(f"{options.address} cannot be reached ({reason(error)})") from error
    except ValueError as error:  # a label that is empty or too long
        raise UsageError(f"{host} is not the name of a host") from error
    return made, (str(place[0]), int(place[1]))
