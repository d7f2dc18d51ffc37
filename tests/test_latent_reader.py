"""Estimates from latents: in batches, in parts, of several people, and mixed with faces of other kinds."""

from collections.abc import Sequence

import numpy as np
import pytest

from lowbeam.codec.compact.features import MAX_QP
from lowbeam.errors import UsageError
from lowbeam.estimator import Estimator
from lowbeam.face import NO_PIXELS, Face, FaceEstimate, Latents
from lowbeam.faces import FrameFaces
from lowbeam.latent_reader import LatentReader
from lowbeam.pipeline.estimate import estimates_of
from lowbeam.recognize import MAX_BATCH, Estimates, Memory
from lowbeam.scale import Faces
from tests.feature_packets import BOX, walk


def latents(count: int, seed: int = 0) -> list[Latents]:
    rng = np.random.default_rng(seed)
    return [Latents(one, int(rng.integers(MAX_QP + 1))) for one in walk(count, seed)]


@pytest.fixture(scope="module")
def latent_reader() -> LatentReader:
    return LatentReader()


def rows_of(estimates: Estimates) -> np.ndarray:
    found = np.stack([estimates.valence, estimates.arousal, estimates.valence_std, estimates.arousal_std], 1)
    assert np.isfinite(found).all()
    assert np.abs(found[:, :2]).max() <= 1
    assert found[:, 2:].min() > 0
    return found


@pytest.mark.parametrize("count", [1, MAX_BATCH, 2 * MAX_BATCH + 3])
def test_estimates_do_not_depend_on_the_batch(count: int, latent_reader: LatentReader) -> None:
    given_latents = latents(count)
    together = rows_of(latent_reader.each(given_latents))
    assert together.shape == (count, 4)
    assert np.allclose(
        np.concatenate([rows_of(latent_reader.each([one])) for one in given_latents]), together, atol=1e-5
    )


@pytest.mark.parametrize("cut", [1, 7, MAX_BATCH, MAX_BATCH + 1])
def test_a_person_followed_in_parts_is_followed_as_at_once(cut: int, latent_reader: LatentReader) -> None:
    count = MAX_BATCH + 20
    given_latents, times = latents(count, 2), np.cumsum(np.random.default_rng(3).uniform(0.04, 1.5, count)).tolist()
    at_once, memory = latent_reader.follow(given_latents, times)
    first, between = latent_reader.follow(given_latents[:cut], times[:cut])
    second, after = latent_reader.follow(given_latents[cut:], times[cut:], between)
    assert np.allclose(np.concatenate([rows_of(first), rows_of(second)]), rows_of(at_once), atol=1e-4)
    assert np.allclose(after.state, memory.state, atol=1e-4)
    assert after.time_s == memory.time_s == times[-1]


def test_people_followed_together_are_followed_as_each(latent_reader: LatentReader) -> None:
    people = [latents(4, seed) for seed in range(MAX_BATCH + 3)]
    memories: list[Memory | None] = [None] * len(people)
    found = []
    for turn in range(4):
        times = [0.3 * turn + 0.01 * number for number in range(len(people))]
        read, after = latent_reader.follow_people([person[turn] for person in people], times, memories)
        memories = [*after]
        found.append(rows_of(read))
    for number in (0, 1, MAX_BATCH - 1, MAX_BATCH, len(people) - 1):
        times = [0.3 * turn + 0.01 * number for turn in range(4)]
        alone, memory = latent_reader.follow(people[number], times)
        assert np.allclose(rows_of(alone), [turn[number] for turn in found], atol=1e-4)
        together = memories[number]
        assert together is not None
        assert np.allclose(together.state, memory.state, atol=1e-4)


def test_times_of_a_person_must_increase(latent_reader: LatentReader) -> None:
    with pytest.raises(UsageError, match="must increase"):
        latent_reader.follow(latents(2), [1.0, 1.0])
    _, memory = latent_reader.follow(latents(1), [5.0])
    with pytest.raises(UsageError, match="must increase"):
        latent_reader.follow(latents(1), [5.0], memory)
    with pytest.raises(UsageError, match="must increase"):
        latent_reader.follow_people(latents(2), [6.0, 4.0], [memory, memory])


@pytest.mark.parametrize("threads", [0, 10_000])
def test_threads_out_of_range_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match="threads must be"):
        LatentReader(threads)


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return Estimator("fast")


def test_a_memory_of_another_shape_is_of_no_use(estimator: Estimator, hr_faces: Faces) -> None:
    foreign = Memory(np.ones((2, 3), np.float32), 0.0)
    assert not estimator.fits(foreign)
    kinds = [Face(1.0, 0, BOX, hr_faces[0]), Face(1.0, 0, BOX, NO_PIXELS, latents(1)[0])]
    for face in kinds:
        with_foreign, memory = estimator.follow([face], foreign)
        assert np.array_equal(rows_of(with_foreign), rows_of(estimator.follow([face], None)[0]))
        assert memory is not None
        assert estimator.fits(memory)
        people, _ = estimator.follow_people([face, face], [foreign, None])
        assert np.allclose(rows_of(people), rows_of(with_foreign), atol=1e-4)


def test_estimates_that_came_are_taken_as_they_are(estimator: Estimator) -> None:
    came = [FaceEstimate(0.1, -0.2, 0.3, 0.4), FaceEstimate(1, -1, 0.01, 2)]
    faces = [Face(float(number), 0, BOX, NO_PIXELS, estimate=one) for number, one in enumerate(came)]
    memory = Memory(np.zeros((2, 3), np.float32), 0.0)
    for found in (estimator.each(faces), estimator.follow(faces, memory)[0]):
        assert np.allclose(rows_of(found), came)
    assert estimator.follow(faces, memory)[1] is memory
    assert not estimator.remembers(faces[0])


def mixed(hr_faces: Faces, seconds: float) -> dict[str, list[Face]]:
    """Pixels, latents and estimates of one person, at times of their own."""
    told, count = latents(round(5 * seconds)), round(5 * seconds)
    return {
        "pixels": [Face(n / 5, 0, BOX, hr_faces[n % 50]) for n in range(count)],
        "latents": [Face(n / 5 + 0.05, 0, BOX, NO_PIXELS, told[n]) for n in range(count)],
        "estimates": [Face(n / 5 + 0.1, 0, BOX, NO_PIXELS, estimate=FaceEstimate(0.1, 0.2, 0.3, 0.4))
                      for n in range(count)],
    }  # fmt: skip


def estimated(faces: Sequence[Face], estimator: Estimator, batch: int) -> dict[float, np.ndarray]:
    frames = [FrameFaces(face.time_s, [face]) for face in sorted(faces, key=lambda face: face.time_s)]
    return {
        frame.time_s: np.array(found[0][2:6]) for frame, found in estimates_of(frames, estimator, batch, False)
    }  # fmt: skip


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("kinds", [("pixels", "estimates"), ("latents", "estimates")])
def test_faces_of_other_kinds_between_leave_estimates_as_they_are(
    kinds: tuple[str, ...], batch: int, estimator: Estimator, hr_faces: Faces
) -> None:
    check_mixture(kinds, batch, estimator, hr_faces)


@pytest.mark.parametrize("batch", [1, 32])
def test_latents_and_pixels_of_a_person_are_remembered_apart(
    batch: int, estimator: Estimator, hr_faces: Faces
) -> None:  # fmt: skip
    check_mixture(("pixels", "latents", "estimates"), batch, estimator, hr_faces)


def check_mixture(kinds: tuple[str, ...], batch: int, estimator: Estimator, hr_faces: Faces) -> None:
    faces = mixed(hr_faces, 4)
    together = estimated([face for kind in kinds for face in faces[kind]], estimator, batch)
    for kind in kinds:
        for time_s, one in estimated(faces[kind], estimator, batch).items():
            assert np.allclose(together[time_s], one, atol=1e-3), (kind, time_s)
