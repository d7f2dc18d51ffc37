"""What reads affect and expressions from stills: models, `fer`, and the packages from npm."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.ferplus import CIRCUMPLEX, EMOTIONS
from lowbeam.errors import UsageError
from lowbeam.evaluate.curve.systems import Affect, System, parse_systems, reader_of
from lowbeam.evaluate.fer_peer import FER_CLASSES, FerPeer
from lowbeam.recognize import Recognizer
from lowbeam.scale import Faces
from research.peers.npm import NPM_PEERS, NpmPeer

Shares = NDArray[np.floating]  # (n, 8), in the order of EMOTIONS
PLACES = [EMOTIONS.index(name) for name in FER_CLASSES]


@dataclass(frozen=True)
class DomainSystem:
    """`read` gives affect (n, 2) and deviations (n, 2) or None, from LR faces and their scale; `tell` the probabilities
    of expressions (n, 8), None for a model that does not tell any."""

    read: Callable[[Faces, int], tuple[Affect, Affect | None]]
    tell: Callable[[Faces], Shares] | None


@contextmanager
def domain_systems(models: str) -> Iterator[dict[str, DomainSystem]]:
    """Systems by their names, from a comma-separated list of models as of `parse_systems`, and of packages from npm
    (`NPM_PEERS`, without another name), whose processes end with the block. Raises the errors of `parse_systems` and
    of `NpmPeer`."""
    named = [word.strip() for word in models.split(",")]
    ours = [word for word in named if word not in NPM_PEERS]
    found = {system.name: _of_model(system) for system in (parse_systems(",".join(ours)) if ours else ())}
    with ExitStack() as stack:
        for name in (word for word in named if word in NPM_PEERS):
            if name in found:
                raise UsageError(f"--models names {name} twice: leave one out")
            found[name] = _of_package(stack.enter_context(NpmPeer(name)))
        yield found


def _of_model(system: System) -> DomainSystem:
    if system.model == "fer":
        return _of_package(FerPeer())
    path = system.at(1)
    if path is None or "{scale}" in system.model or not Recognizer(path).tells_expressions:
        return DomainSystem(reader_of(system), None)
    recognizer = Recognizer(path, expressions=True)

    def tell(faces: Faces) -> Shares:
        told = recognizer(faces).expressions
        assert told is not None
        return told

    return DomainSystem(reader_of(system), tell)


def _of_package(peer: FerPeer | NpmPeer) -> DomainSystem:
    """Its affect is that of its expressions; faces that are read and told one after the other are looked at once."""
    affect_of = CIRCUMPLEX[PLACES]
    seen: list[tuple[Faces, NDArray[np.float32]]] = []

    def look(faces: Faces) -> NDArray[np.float32]:
        if not seen or seen[0][0] is not faces:
            seen[:] = [(faces, peer.expressions(faces))]
        return seen[0][1]

    def tell(faces: Faces) -> Shares:
        shares = np.zeros((len(faces), len(EMOTIONS)))
        shares[:, PLACES] = look(faces)
        return shares

    return DomainSystem(lambda faces, scale: (look(faces) @ affect_of, None), tell)
