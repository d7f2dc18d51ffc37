"""Training of the features codec: small, but whole; its losses, its prior, and what is written."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_video

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")

from test_evaluate import write_ferplus  # noqa: E402

from lowbeam import CorpusError, LowbeamError, ModelError, UsageError  # noqa: E402
from lowbeam.cli import app as cli  # noqa: E402
from lowbeam.codec import CodedFace, open_decoder  # noqa: E402
from lowbeam.codec.compact import feature_networks  # noqa: E402
from lowbeam.codec.compact.features import FeaturesCoder, Seen  # noqa: E402
from lowbeam.codec.compact.head import TICKS_MS, Head  # noqa: E402
from lowbeam.codec.compact.prior import REACH, load_tables  # noqa: E402
from lowbeam.codec.compact.range_coding import cost_bits  # noqa: E402
from lowbeam.corpora import ferplus  # noqa: E402
from lowbeam.corpora.labelled import LabelledFaces, Track  # noqa: E402
from lowbeam.face import Latents  # noqa: E402
from lowbeam.latent_reader import LatentReader  # noqa: E402
from lowbeam.models.export_features import export_tables, tables_of  # noqa: E402
from lowbeam.models.feature_codec import LATENTS, LEVELS, FaceAnimator, FeatureCodec, LatentPrior  # noqa: E402
from lowbeam.models.one_for_all import SIZES, OneForAll, Trunk  # noqa: E402
from lowbeam.scale import Faces, resample  # noqa: E402
from lowbeam.train import loop  # noqa: E402
from lowbeam.train.features.adversary import IdentityAdversary  # noqa: E402
from lowbeam.train.features.batches import ALONE_S, Drawer, Drawn  # noqa: E402
from lowbeam.train.features.recipe import FeaturesRecipe, load_features_recipe  # noqa: E402
from lowbeam.train.features.run import FILES  # noqa: E402
from lowbeam.train.features.task import FeatureTask  # noqa: E402

TINY = (
    "steps=4", "batch.stills=8", "batch.unlabelled=4", "batch.pairs=2", "batch.sequences=2", "batch.length=4",
    "temporal.steps=3", "temporal.tracks=2", "temporal.stills=8", "memory_fps=[5]",
)  # fmt: skip


# --- the recipe


def test_the_recipe_that_ships_is_whole() -> None:
    recipe = load_features_recipe("features")
    assert recipe.name == "features"
    assert recipe.weights.finest_price < recipe.weights.coarsest_price


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("steps=0", "steps"), ("batch.length=1", "batch.length"), ("batch.pairs=0", "batch.pairs"),
        ("scales=[]", "scales"), ("scales=[5]", "scale 5 is not one of"), ("weights.first_faces=2", "first_faces"),
        ("average_decay=1", "average_decay"), ("memory_fps=[0]", "memory_fps"), ("nothing=1", "nothing"),
        ("batch.shortest_s=0", "shortest_s"),
    ],
)  # fmt: skip
def test_a_wrong_recipe_names_what_is_wrong(change: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_features_recipe("features", [change])


def test_more_pairs_than_unlabelled_stills_are_refused() -> None:
    with pytest.raises(UsageError, match="pairs"):
        load_features_recipe("features", ["batch.unlabelled=4", "batch.pairs=8"])


def test_a_longest_step_below_the_shortest_is_refused() -> None:
    with pytest.raises(UsageError, match="longest_s"):
        load_features_recipe("features", ["batch.shortest_s=2", "batch.longest_s=1"])


def test_a_recipe_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match=r"must begin with|of kind"):
        load_features_recipe("fast")


# --- the prior in training and in whole numbers


def some_prior(seed: int) -> LatentPrior:
    """A prior as training may leave it."""
    torch.manual_seed(seed)
    prior = LatentPrior()
    with torch.no_grad():
        prior.latent_gain.normal_(0, 0.4)
        prior.tilt.normal_(0, 0.3)
        prior.mean.normal_(0, 0.3)
        prior.log_spread.normal_(0, 0.3)
        prior.likeness.normal_(2, 1)
        prior.log_span_s.normal_(1, 0.5)
    return prior


def codec_with(prior: LatentPrior) -> FeatureCodec:
    codec = FeatureCodec(OneForAll(Trunk(SIZES["fast"])))
    codec.prior = prior
    return codec.eval()


def drawn_latents(prior: LatentPrior, count: int, gap_s: float, rng: np.random.Generator) -> np.ndarray:
    """Latents (count, k) of one person that are distributed as the prior says."""
    with torch.no_grad():
        rho = prior.correlation(torch.tensor([gap_s]))[0].double().numpy()
        mean, spread = prior.mean.double().numpy(), prior.log_spread.exp().double().numpy()
    found = [rng.normal(0, 1, LATENTS)]
    for _ in range(count - 1):
        found.append(rho * found[-1] + np.sqrt(1 - rho**2) * rng.normal(0, 1, LATENTS))
    return mean + spread * np.stack(found)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("level", [0, 4, LEVELS // 2])
def test_the_bits_of_training_are_those_of_the_integer_prior(seed: int, level: int) -> None:
    prior, rng = some_prior(seed), np.random.default_rng(seed)
    tables = tables_of(codec_with(prior))
    for tick in (1, 2, 4):
        latents = drawn_latents(prior.float(), 300, TICKS_MS[tick] / 1000, rng)
        steps = np.rint(latents * tables.gains[level]).astype(np.int64)
        spent = 0.0
        for before, now in zip([None, *steps], steps, strict=False):
            base, frequencies = tables.expected(level, tick, before)
            change = np.clip(now - base, -REACH, REACH)
            spent += sum(float(cost_bits(each)[one + REACH]) for one, each in zip(change, frequencies, strict=True))
        with torch.no_grad():
            quantized = torch.from_numpy(steps).float()
            gaps = torch.full((len(steps),), TICKS_MS[tick] / 1000)
            gaps[0] = ALONE_S
            levels = torch.full((len(steps),), level)
            expected = float(prior.float().bits(quantized, quantized.roll(1, 0), gaps, levels).sum())
        assert spent == pytest.approx(expected, rel=0.05)


def test_tables_are_those_of_the_prior(tmp_path: Path) -> None:
    prior = some_prior(3)
    codec = codec_with(prior)
    found = tables_of(codec)
    export_tables(found, tmp_path / "tables.json")
    kept = load_tables(tmp_path / "tables.json")
    assert kept.name == found.name
    assert np.array_equal(kept.gains, found.gains)
    with torch.no_grad():
        levels = torch.arange(LEVELS)
        assert np.allclose(kept.gains, prior.float().gains(levels).numpy(), rtol=1e-5)
        assert np.allclose(kept.centres / 256, prior.gains(levels).numpy() * prior.mean.numpy(), atol=0.01)
        rho = prior.correlation(torch.tensor(TICKS_MS) / 1000).numpy()
        assert np.allclose(kept.correlations / 2**15, rho, atol=1e-4)


def test_the_name_of_networks_tells_them_apart() -> None:
    prior = some_prior(4)
    codec = codec_with(prior)
    names = {tables_of(codec).name}
    with torch.no_grad():
        codec.readout.readout.bias[0] += 0.01
    names.add(tables_of(codec).name)
    with torch.no_grad():
        codec.prior.level_gain[0] += 0.01
    names.add(tables_of(codec).name)
    assert len(names) == 3


def test_exporting_leaves_the_prior_as_precise_as_it_was() -> None:
    """Tables are made in double precision."""
    codec = codec_with(some_prior(5))
    assert tables_of(codec).name == tables_of(codec).name


# --- the task


@pytest.fixture(scope="module")
def stills_folder(hr_faces: Faces, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ferplus(tmp_path_factory.mktemp("ferplus"), hr_faces)


def track(faces: Faces, person: int) -> Track:
    times = np.arange(len(faces)) / 25
    affect = np.stack([np.sin(times + person), np.cos(times)], 1).astype(np.float32) / 2
    return Track(person, times, faces, affect, np.tile(np.float32([0, 0, 90]), (len(faces), 1)))


def pictures(faces: Faces, each: int = 1) -> LabelledFaces:
    """Unlabelled stills, `each` of one person."""
    small = np.asarray(resample(faces, 48))
    person = np.arange(len(small), dtype=np.int32) // each
    return LabelledFaces(small, np.full((len(small), 2), np.nan, np.float32), person)


@pytest.fixture
def task(stills_folder: Path, hr_faces: Faces) -> FeatureTask:
    recipe = load_features_recipe("features", TINY)
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    stills = ferplus.load(stills_folder, "train")
    drawer = Drawer(recipe, stills, pictures(hr_faces), [track(hr_faces, 0)], rng)
    codec = FeatureCodec(OneForAll(Trunk(SIZES["fast"])))
    return FeatureTask(codec, OneForAll(Trunk(SIZES["fast"])), recipe, drawer, rng, stills)


def batch_of(task: FeatureTask) -> Drawn:
    return next(iter(task.batches()))


def test_a_batch_has_stills_sequences_and_second_looks(task: FeatureTask) -> None:
    batch = batch_of(task)
    assert batch.counts == (8, 4, 8, 2)
    assert len(batch) == 22
    assert batch.grid.shape == batch.whole.shape == (22, 1, 48, 48)
    assert batch.pictures.shape == (22, 48, 48)
    for values in (batch.grid, batch.whole, batch.pictures, batch.gap_s):
        assert bool(torch.isfinite(values).all())
    assert bool(batch.affect[batch.part(1)].isnan().all())
    assert not bool(batch.affect[batch.part(2)].isnan().any())
    gaps = batch.gap_s[batch.part(2)].reshape(2, 4)
    assert bool((gaps[:, 0] == ALONE_S).all())
    assert bool(((gaps[:, 1:] > 0) & (gaps[:, 1:] < 1.5)).all())
    levels = batch.level[batch.part(2)].reshape(2, 4)
    assert bool((levels == levels[:, :1]).all())
    assert bool((batch.level[batch.part(3)] == batch.level[batch.part(1)][:2]).all())


def test_losses_are_finite_and_gradients_reach_every_network(task: FeatureTask) -> None:
    task.network.train()
    losses = task.losses(batch_of(task))
    assert len(losses) == len(task.loss_names)
    assert bool(torch.isfinite(losses).all())
    losses.sum().backward()
    for name, parameter in task.network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    codec = task.network
    for name in ("level_gain", "latent_gain", "tilt", "mean", "log_spread", "likeness", "log_span_s"):
        assert float(getattr(codec.prior, name).grad.abs().sum()) > 0, name
    assert float(codec.encoder.reduce[0].weight.grad.abs().sum()) > 0
    assert float(codec.readout.readout.weight.grad.abs().sum()) > 0


def test_the_price_of_a_bit_is_paid_by_the_level(task: FeatureTask) -> None:
    task.network.eval()
    batch = batch_of(task)
    found = []
    for level in (0, LEVELS - 1):
        torch.manual_seed(0)
        with torch.no_grad():
            one = task.losses(replace(batch, level=torch.full_like(batch.level, level)))
        found.append(dict(zip(task.loss_names, one.tolist(), strict=True)))
    weights = load_features_recipe("features").weights
    bits = [found[0]["rate"] / weights.finest_price, found[1]["rate"] / weights.coarsest_price]
    assert bits[0] > 2 * bits[1] > 0


def test_an_adversary_is_shown_two_pictures_of_a_person(stills_folder: Path, hr_faces: Faces) -> None:
    recipe = load_features_recipe("features", [*TINY, "weights.identity=0.5", "batch.unlabelled=8"])
    stills, rng = ferplus.load(stills_folder, "train"), np.random.default_rng(1)
    drawer = Drawer(recipe, stills, pictures(hr_faces, 2), [track(hr_faces, 0)], rng)
    for _ in range(5):
        person = drawer.draw().person
        assert len(person) == 8
        assert person[0] == person[1]
        assert person[2] == person[3]
    with pytest.raises(CorpusError, match="no two unlabelled stills are of one person"):
        Drawer(recipe, stills, pictures(hr_faces), [track(hr_faces, 0)], rng)


def test_an_adversary_learns_and_takes_no_gradients_from_the_encoder() -> None:
    torch.manual_seed(0)
    adversary, person = IdentityAdversary(), torch.arange(32).repeat(2)
    own = torch.randn(32, LATENTS)
    for _ in range(20):
        latents = (own[person] + 0.3 * torch.randn(64, LATENTS)).requires_grad_()
        adversary.learn(latents, person)
        loss = adversary.loss(latents, person)
        assert latents.grad is None
        loss.backward()
        assert latents.grad is not None
        assert float(latents.grad.abs().sum()) > 0
    assert float(loss.detach()) < 0.7 * math.log(21 * 64)  # a guess among all that are compared


def test_parameters_are_in_one_group_each(task: FeatureTask) -> None:
    groups = task.parameter_groups()
    counts = [id(one) for group in groups for one in group["params"]]  # type: ignore[attr-defined]
    assert sorted(counts) == sorted(map(id, task.network.parameters()))


def test_the_animator_shows_the_key_face_before_training() -> None:
    key = torch.randn(2, 1, 48, 48)
    with torch.no_grad():
        shown = FaceAnimator()(key, torch.zeros(2, LATENTS), torch.randn(2, LATENTS))
    assert torch.allclose(shown, key, atol=1e-4)


# --- a whole run

Run = Callable[..., None]


@pytest.fixture(scope="module")
def people(short_frames: list, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A corpus of recordings: two to train on, one to validate on."""
    folder = tmp_path_factory.mktemp("people")
    lines = ["recording,split,time_s,valence,arousal"]
    for number, (name, split) in enumerate((("a.mp4", "train"), ("b.mp4", "train"), ("c.mp4", "valid"))):
        write_video(folder / name, short_frames[:: -1 if number % 2 else 1], options={"crf": "20"})
        times = np.arange(0, 1.96, 0.04)
        values = np.stack([np.sin(times + number), np.cos(2 * times)], 1) / 2
        lines += [f"{name},{split},{t:.2f},{v:.3f},{a:.3f}" for t, (v, a) in zip(times, values, strict=True)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder / 'labels.csv'}"


def train(*arguments: object, changes: tuple[str, ...] = TINY) -> int:
    given = [part for change in changes for part in ("--set", change)]
    return cli.run(["train", "features", *map(str, arguments), *given])


@pytest.fixture(scope="module")
def run(stills_folder: Path, people: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    """The folder of a finished run, and its arguments."""
    cache = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(cache))
    out = tmp_path_factory.mktemp("run")
    given: list[object] = ["--corpus", f"ferplus:{stills_folder}", "--corpus", people,
                           "--unlabelled", f"ferplus:{stills_folder}", "--start", "fast"]  # fmt: skip
    assert train(*given, "-o", out) == 0
    patch.undo()
    return out, given


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


@pytest.mark.slow
def test_a_run_leaves_networks_that_code_and_read_faces(
    run: tuple[Path, list[object]], hr_faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run[0]
    assert {*FILES} <= {path.name for path in out.iterdir()}
    assert (out / "encoder.onnx").stat().st_size <= 1_000_000
    monkeypatch.setattr("lowbeam.codec.compact.features.TABLES", out / "tables.json")
    monkeypatch.setattr(feature_networks, "FOLDER", out)
    monkeypatch.setattr("lowbeam.latent_reader.FOLDER", out)
    for network in (feature_networks.encoder, feature_networks.animator):
        monkeypatch.setattr(
            feature_networks, network.__name__, network.__wrapped__
        )  # not those that were loaded before
    for side in (6, 24, 96):
        assert np.isfinite(feature_networks.latents_of(resample(hr_faces[:3], side))).all()
    coder = FeaturesCoder(1, 4, True)
    contents = [Seen(n / 5, one, hr_faces[n]) for n, one in enumerate(feature_networks.latents_of(hr_faces[:10]))]
    decoder = open_decoder(coder.header)
    found = []
    for second in range(4):
        data = coder.packet(Head(0, 200, 10, None), contents, None)
        assert data is not None
        found = decoder.decode(CodedFace(data, 2000 * second, True))
    assert {one.pixels.shape for one in found} == {(48, 48)}
    latents = [one.latents for one in found if one.latents is not None]
    reader = LatentReader()
    for estimates in (reader.each(latents), reader.follow(latents, [one.time_ms / 1000 for one in found])[0]):
        assert np.isfinite(estimates.valence_std).all()
        assert np.abs(estimates.valence).max() <= 1
        assert estimates.arousal_std.min() > 0
    for level in (0, LEVELS - 1):
        assert np.isfinite(reader.each([Latents(latents[0].values, level)]).valence).all()


@pytest.mark.slow
def test_a_run_names_its_networks(run: tuple[Path, list[object]]) -> None:
    name = json.loads((run[0] / "tables.json").read_text())["name"]
    assert name.startswith("features-")
    assert name != load_tables(feature_networks.TABLES).name


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(run: tuple[Path, list[object]]) -> None:
    out, given = run
    before, log = digests(out), (out / "together" / "log.csv").read_text()
    assert train(*given, "-o", out) == 0
    assert (out / "together" / "log.csv").read_text() == log
    assert digests(out)["tables.json"] == before["tables.json"]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_end(
    run: tuple[Path, list[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception): ...

    def killed(*given: object) -> None:
        save(*given)  # type: ignore[arg-type]
        raise KilledError

    save = loop._Progress.save
    with monkeypatch.context() as patch:
        patch.setattr(loop._Progress, "save", killed)
        with pytest.raises(KilledError):
            train(*run[1], "-o", tmp_path)
    assert not (tmp_path / "tables.json").exists()
    assert train(*run[1], "-o", tmp_path) == 0
    whole, resumed = (load_tables(folder / "tables.json") for folder in (run[0], tmp_path))
    assert np.allclose(whole.gains, resumed.gains, rtol=1e-2)
    assert np.abs(whole.centres - resumed.centres).max() <= 8  # of 256 in a step


@pytest.mark.slow
def test_a_folder_of_another_run_is_refused(run: tuple[Path, list[object]]) -> None:
    out, given = run
    with pytest.raises(UsageError, match="another recipe, start, teacher or corpus"):
        train(*given, "-o", out, changes=(*TINY, "learning_rate=0.001"))


@pytest.mark.slow
def test_a_folder_in_use_is_refused(run: tuple[Path, list[object]]) -> None:
    from lowbeam.files import exclusive

    with exclusive(run[0] / "lock", wait=False), pytest.raises(UsageError, match="in use by another run"):
        train(*run[1], "-o", run[0])


def said_by(*arguments: object, changes: tuple[str, ...] = TINY) -> str:
    with pytest.raises(LowbeamError) as raised:
        train(*arguments, changes=changes)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_what_is_missing_or_wrong_is_said(stills_folder: Path, people: str, tmp_path: Path) -> None:
    stills, out = f"ferplus:{stills_folder}", tmp_path / "out"
    both = ["--corpus", stills, "--corpus", people, "-o", out]
    whole = [*both, "--unlabelled", stills, "--start", "fast"]
    assert "needs --start and --unlabelled" in said_by(*both, "--start", "fast")
    assert "needs --start and --unlabelled" in said_by(*both, "--unlabelled", stills)
    few = ["-o", out, "--unlabelled", stills, "--start", "fast"]
    assert "one corpus of labelled stills" in said_by(*few, "--corpus", stills)
    assert "one corpus of labelled stills" in said_by(*few, "--corpus", people)
    assert "one corpus of labelled stills" in said_by(*few, "--corpus", stills, "--corpus", stills)
    assert "nothing" in said_by(*both, "--unlabelled", stills, "--start", "nothing")
    assert "corpus nothing is not one of" in said_by(*both, "--unlabelled", "nothing:x", "--start", "fast")
    assert "does not change a recipe" in said_by(*whole, changes=("step",))
    assert not out.exists() or not any((out / name).exists() for name in FILES)


@pytest.mark.slow
def test_a_device_that_is_not_used_is_refused(run: tuple[Path, list[object]]) -> None:
    with pytest.raises(UsageError, match="CPU"):
        train(*run[1], "-o", run[0], "--device", "cuda")


def test_errors_of_corpora_and_models_are_those_of_the_tree() -> None:
    assert issubclass(CorpusError, LowbeamError)
    assert issubclass(ModelError, LowbeamError)
    assert FeaturesRecipe.model_config.get("extra") == "forbid"


def test_recordings_that_are_too_short_are_one_clear_error(stills_folder: Path, hr_faces: Faces) -> None:
    recipe, stills = load_features_recipe("features", TINY), ferplus.load(stills_folder, "train")
    with pytest.raises(LowbeamError):
        Drawer(recipe, stills, pictures(hr_faces), [track(hr_faces[:6], 0)], np.random.default_rng(1)).draw()
