"""What learned features are compared with, and how well samples can be traced to a person."""

import json
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lowbeam.corpora.ferplus import EMOTIONS
from lowbeam.corpora.parted import split_of
from lowbeam.errors import CorpusError, UsageError
from lowbeam.recognize import Recognizer, model_path
from lowbeam.scale import Faces, shrink

pytest.importorskip("onnx", reason="models are cut with the train extra")
torch = pytest.importorskip("torch", reason="attackers are trained with the train extra")

from test_evaluate import write_ferplus  # noqa: E402

from research.compact import attackers, contrastive, identity_terms  # noqa: E402
from research.compact.anchors import BITS, FRAME_RATES, measure_corpora, quantised  # noqa: E402
from research.compact.cut_model import POOLED, features_of, grid_of, part_of, stage_cuts  # noqa: E402
from research.compact.identity import kept_rows, measure_identity  # noqa: E402
from research.compact.people import (  # noqa: E402
    KINDS,
    MOST_PAIRS,
    SAME_SIDE,
    VALID_SHARE,
    Kind,
    Pairs,
    Stills,
    draw_pairs,
    split_people,
)
from research.compact.sources import Source, choose_sources, estimates, latents, pixels, pooled_features  # noqa: E402
from research.compact.verification import auc_and_eer, verification  # noqa: E402

RunResearch = Callable[..., subprocess.CompletedProcess[str]]


def made_up(people: int = 40, seed: int = 0) -> Stills:
    """People with one to six pictures of noise, each picture close to the person's own."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), rng.integers(1, 7, people))
    own = rng.integers(0, 256, (people, 12, 12)).repeat(8, 1).repeat(8, 2)
    pixels = np.clip(own[person] + rng.normal(0, 30, (len(person), 96, 96)), 0, 255).astype(np.uint8)
    return Stills(
        pixels, person, rng.integers(0, 2, len(person)), rng.uniform(200, 220, len(person)).astype(np.float32),
        person % 5 < 3,
    )  # fmt: skip


# ---- feature anchors


@given(bits=st.integers(1, 8), seed=st.integers(0, 99), size=st.integers(1, 50))
def test_quantised_features_are_off_by_half_a_step_at_most(bits: int, seed: int, size: int) -> None:
    tensor = np.random.default_rng(seed).normal(0, 3, (size, 2)).astype(np.float32)
    data, received = quantised(tensor, bits)
    step = float(np.ptp(tensor)) / (2**bits - 1)
    assert np.abs(received - tensor).max() <= step / 2 + 1e-5
    assert len(zlib.decompress(data)) == 8 + tensor.size  # minimum and maximum, and a byte for each number


def test_a_constant_tensor_survives_quantisation() -> None:
    tensor = np.full((3, 3), 0.7, np.float32)
    assert np.array_equal(quantised(tensor, 4)[1], tensor)


@pytest.mark.parametrize("model", ["accurate", "fast"])
def test_a_cut_model_estimates_what_the_whole_one_does(model: str, hr_faces: Faces) -> None:
    whole, grid = Recognizer(model)(hr_faces[:5]), grid_of(model_path(model))
    cuts, sizes = stage_cuts(model), []
    assert len(cuts) == 4
    assert cuts[-1] == POOLED
    for cut in cuts:
        found = features_of(part_of(model, ["faces", "resample"], [cut]), cut, hr_faces[:5], grid)
        affect = part_of(model, [cut], ["affect"]).run(["affect"], {cut: found})[0]
        assert np.allclose(affect, np.stack([whole.valence, whole.arousal], 1), atol=1e-4)
        sizes.append(found[0].size)
    assert sizes == sorted(sizes, reverse=True)


def test_anchors_cost_less_and_keep_less_with_fewer_faces(short_clip: Path, tmp_path: Path) -> None:
    results = measure_corpora([f"videos:{short_clip}"], ["self"], seconds=1.5, cache=tmp_path, models=("fast",))
    (found,) = results["corpora"]
    assert found["uncoded"]["fast"] == {"valence": 1.0, "arousal": 1.0}
    assert len(found["rows"]) == 4 * len(BITS) * len(FRAME_RATES)
    pooled = [row for row in found["rows"] if row["cut"] == POOLED and row["bits"] == 8]
    assert [row["fps"] for row in pooled] == list(FRAME_RATES)
    assert [row["bps"] for row in pooled] == sorted((row["bps"] for row in pooled), reverse=True)
    assert pooled[0]["hold"]["valence"] > pooled[-1]["hold"]["valence"]
    shallow, deep = (next(row for row in found["rows"] if row["cut"] == cut) for cut in ("relu", POOLED))
    assert shallow["face_bytes"] > 10 * deep["face_bytes"]


def test_each_corpus_of_anchors_needs_its_truth(short_clip: Path) -> None:
    for truths in ([], ["self", "self"], ["guess"]):
        with pytest.raises(UsageError, match="each corpus needs its truth, labels or self"):
            measure_corpora([f"videos:{short_clip}"], truths)


# ---- people and pairs


def test_nobody_is_in_two_splits() -> None:
    stills = made_up()
    parts = split_people(stills, 3)
    people = [set(part.person.tolist()) for part in parts.values()]
    assert set.union(*people) == set(range(40))
    assert people[0] == {one for one in range(40) if one % 5 < 3}
    assert [len(found) for found in people[1:]] == [round(16 * VALID_SHARE), 16 - round(16 * VALID_SHARE)]
    assert sum(map(len, parts.values())) == len(stills)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_balanced_and_of_different_pictures(kind: Kind) -> None:
    stills = made_up()
    pairs = draw_pairs(stills, 1, kind)
    assert pairs.same.sum() * 2 == len(pairs)
    assert (pairs.first != pairs.second).all()
    assert ((stills.person[pairs.first] == stills.person[pairs.second]) == pairs.same).all()
    assert np.bincount(stills.person[pairs.first[pairs.same]]).max() <= MOST_PAIRS
    ratio = stills.side_px[pairs.first] / stills.side_px[pairs.second]
    alike = np.maximum(ratio, 1 / ratio) <= SAME_SIDE + 1e-6
    alike &= stills.expression[pairs.first] == stills.expression[pairs.second]
    assert alike[~pairs.same].all() == (kind != "any")
    assert alike[pairs.same].all() == (kind == "matched")


def test_people_with_one_picture_each_make_no_pairs() -> None:
    stills = made_up().of(np.unique(made_up().person, return_index=True)[1])
    with pytest.raises(CorpusError, match="nobody has two pictures"):
        draw_pairs(stills, 0)


# ---- AUC and equal-error rate


@given(seed=st.integers(0, 99), ties=st.booleans())
def test_the_auc_is_the_share_of_pairs_in_the_right_order(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    same = np.repeat([True, False], 25)
    scores = rng.normal(same, 1)
    scores = np.rint(scores) if ties else scores
    difference = scores[same][:, None] - scores[~same][None]
    assert auc_and_eer(scores, same)[0] == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())


def test_the_equal_error_rate_of_two_normal_distributions() -> None:
    same = np.repeat([True, False], 20000)
    scores = np.random.default_rng(0).normal(2.0 * same, 1)
    auc, eer = auc_and_eer(scores, same)
    assert eer == pytest.approx(0.1587, abs=0.01)  # Φ(-1)
    assert auc == pytest.approx(0.9214, abs=0.01)  # Φ(2 / √2)
    assert auc_and_eer(same.astype(float), same) == (1.0, 0.0)


def test_weights_count_pairs_several_times() -> None:
    rng = np.random.default_rng(1)
    scores, same, times = rng.normal(size=40), np.repeat([True, False], 20), rng.integers(0, 4, 40)
    found = auc_and_eer(scores, same, times.astype(float))
    assert found == pytest.approx(auc_and_eer(np.repeat(scores, times), np.repeat(same, times)))


def test_the_interval_holds_the_value_and_chance_for_scores_of_noise() -> None:
    stills = made_up()
    pairs = draw_pairs(stills, 0)
    found = verification(np.random.default_rng(5).normal(size=len(pairs)), pairs, stills, 0)
    for name in ("auc", "eer"):
        low, high = found[f"{name}_95"]
        assert low < found[name] < high
        assert low < 0.5 < high


# ---- attackers


def test_the_contrastive_loss_falls_as_people_part() -> None:
    person = torch.tensor([0, 0, 1, 1])
    apart = torch.eye(2)[[0, 0, 1, 1]]
    mixed = torch.eye(2)[[0, 1, 0, 1]]
    assert contrastive.supervised_contrastive(apart, person) < contrastive.supervised_contrastive(mixed, person)


def test_a_batch_has_two_samples_of_everyone_in_it() -> None:
    person = np.array([0, 0, 0, 1, 2, 2, 3])
    for rows in contrastive.batches(person, 5, np.random.default_rng(0)):
        people, counts = np.unique(person[rows], return_counts=True)
        assert counts.tolist() == [2] * len(people)
        assert len(set(rows[person[rows] == 2].tolist())) == 2 or 2 not in people


@pytest.mark.parametrize("side", attackers.CNN_WIDTHS)
def test_the_face_network_embeds_faces_of_each_side(side: int) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, side, side), np.uint8)
    x = attackers.augmented(attackers.standardised(faces), np.random.default_rng(0))
    assert x.shape == (3, 1, side, side)
    assert attackers.face_network(side).eval()(x).shape == (3, attackers.EMBEDDING)


def test_trained_attackers_know_people_by_a_sign_that_the_untrained_one_misses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of twenty numbers are a person's own, the others loud noise."""
    monkeypatch.setattr(attackers, "MLP_STEPS", 60)
    rng = np.random.default_rng(0)
    stills = made_up(200)
    own = rng.normal(size=(200, 2))
    rows: dict[bytes, int] = {face.tobytes(): row for row, face in enumerate(stills.pixels)}

    def vectors_of(faces: Faces) -> np.ndarray:
        found = np.random.default_rng(1).normal(0, 3, (len(stills), 20))
        found[:, :2] = own[stills.person] + 0.1 * found[:, :2]
        places = [rows.get(face.tobytes(), rows.get(face[:, ::-1].tobytes(), 0)) for face in faces]
        return found[places].astype(np.float32)

    np.savez(
        tmp_path / "people.npz", pixels=stills.pixels, side_px=stills.side_px,
        identity=stills.person.astype(str), expression=np.array(EMOTIONS)[stills.expression],
    )  # fmt: skip
    (row,) = measure_identity(tmp_path / "people.npz", [Source("signs", vectors_of)])["rows"]
    assert row["numbers"] == 20
    assert row["trained"]["any"]["auc"] > 0.85
    assert row["untrained"]["any"]["auc"] < 0.7
    assert set(row["attackers"]) == {"discriminant", "regression", "mlp"}
    assert row["chosen"] == max(row["attackers"], key=lambda name: row["attackers"][name]["valid_auc"])


def test_the_network_for_faces_learns_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(attackers.CNN_STEPS, 12, 25)
    parts = split_people(made_up(60), 0)

    def samples(part: Stills) -> attackers.Samples:
        vectors = pixels(8).vectors_of(part.pixels)
        return attackers.Samples(vectors, vectors, part.person, draw_pairs(part, 0), shrink(part.pixels, 8))

    score, auc = attackers._cnn(samples(parts["train"]), samples(parts["test"]), 0)
    tested = samples(parts["test"])
    assert auc > 0.8
    assert auc_and_eer(score(tested, tested.pairs), tested.pairs.same)[0] == auc


def test_the_angle_of_an_empty_vector_is_no_sign() -> None:
    vectors = np.array([[0, 0], [1, 0], [2, 0]], np.float32)
    pairs = Pairs(np.array([0, 1]), np.array([1, 2]), np.array([False, True]))
    assert attackers.cosine(vectors, pairs).tolist() == [0.0, 1.0]


# ---- sources


def test_sources_give_their_numbers(hr_faces: Faces) -> None:
    faces = hr_faces[:3]
    found = {source.name: source.vectors_of(faces) for source in choose_sources("all", "fast", None, None)}
    shapes = {name: vectors.shape[1] for name, vectors in found.items()}
    assert shapes == {
        "pixels, 96 px": 1024, "pixels, 24 px": 576, "pixels, 12 px": 144, "estimates": 4, "pooled features": 384,
    }  # fmt: skip
    assert all(vectors.dtype == np.float32 for vectors in found.values())
    assert np.allclose(found["estimates"][:, 0], Recognizer("fast")(faces).valence)


def test_latents_are_rounded_at_each_level(hr_faces: Faces, tmp_path: Path) -> None:
    import onnx
    from onnx.utils import extract_model

    extract_model(str(model_path("fast")), str(tmp_path / "e.onnx"), ["faces", "resample"], [POOLED])
    model = onnx.load(str(tmp_path / "e.onnx"))
    model.graph.node.append(onnx.helper.make_node("Identity", [POOLED], ["latents"]))
    model.graph.output[0].name = "latents"
    onnx.save(model, str(tmp_path / "e.onnx"))
    np.save(tmp_path / "gains.npy", np.outer([1, 8], np.ones(384)))
    coarse, fine = (source.vectors_of(hr_faces[:4]) for source in latents(tmp_path / "e.onnx", tmp_path / "gains.npy"))
    exact = pooled_features("fast").vectors_of(hr_faces[:4])
    assert np.array_equal(coarse, np.rint(exact))
    assert np.abs(fine / 8 - exact).max() <= 1 / 16 + 1e-6
    np.save(tmp_path / "gains.npy", np.ones(3))
    with pytest.raises(UsageError, match="is for 3 latents"):
        latents(tmp_path / "e.onnx", tmp_path / "gains.npy")[0].vectors_of(hr_faces[:1])
    (tmp_path / "gains.npy").write_bytes(b"no gains")
    with pytest.raises(UsageError, match="holds no gains"):
        latents(tmp_path / "e.onnx", tmp_path / "gains.npy")


def test_latents_need_an_encoder_and_its_gains() -> None:
    for kinds, encoder in (("latents", None), ("all", Path("e.onnx"))):
        with pytest.raises(UsageError, match="need both"):
            choose_sources(kinds, "fast", encoder, None)
    with pytest.raises(UsageError, match="voice is not one of"):
        choose_sources("voice", "fast", None, None)


def test_rows_that_are_not_measured_again_are_kept(tmp_path: Path) -> None:
    results = tmp_path / "identity.json"
    assert kept_rows(results, []) == []
    rows = [{"source": "estimates"}, {"source": "pooled features"}]
    results.write_text(json.dumps({"seed": 0, "rows": rows, "command": "the second"}))
    kept = kept_rows(results, [estimates("fast")])
    assert kept == [{"source": "pooled features", "command": "the second"}]
    results.write_text(json.dumps({"seed": 0, "rows": kept, "command": "the third"}))
    assert kept_rows(results, []) == kept
    assert kept_rows(results, [], seed=1) == []
    results.write_text("[]")
    with pytest.raises(UsageError, match="name another file"):
        kept_rows(results, [])


# ---- commands


def test_anchors_are_printed_by_cut(short_clip: Path, tmp_path: Path, run_research: RunResearch) -> None:
    arguments = ("--corpus", f"videos:{short_clip}", "--truth", "self", "--seconds", "1", "-o", tmp_path / "a.json")
    done = run_research("feature-anchors", *arguments)
    assert done.returncode == 0, done.stderr
    about, heading, *lines = done.stdout.splitlines()
    assert about.endswith("1 recordings: CCC with their own uncoded estimates")
    assert heading.split()[:6] == ["model", "cut", "bits", "fps", "bytes", "kbit/s"]
    rows = json.loads((tmp_path / "a.json").read_text())["corpora"][0]["rows"]
    assert len(lines) == len(rows) == 64


def test_identity_is_printed_by_source(tmp_path: Path, run_research: RunResearch) -> None:
    stills = made_up(60)
    np.savez(
        tmp_path / "people.npz", pixels=stills.pixels, side_px=stills.side_px,
        identity=stills.person.astype(str), expression=np.array(EMOTIONS)[stills.expression],
    )  # fmt: skip
    arguments = ("--stills", tmp_path / "people.npz", "--only", "estimates", "-o", tmp_path / "i.json")
    done = run_research("identity", *arguments)
    assert done.returncode == 0, done.stderr
    heading, trained, untrained = done.stdout.splitlines()
    assert "matched AUC" in heading
    assert (trained.split()[0], untrained.split()[:2]) == ("estimates", ["estimates", "untrained"])
    expected = sum(split_of(str(person)) == "train" for person in range(60))
    assert json.loads((tmp_path / "i.json").read_text())["splits"]["train"]["people"] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("identity", "--stills", "gone.npz", "-o", "i.json"), "gone.npz is missing"),
        (("feature-anchors", "--corpus", "videos:gone", "--truth", "self", "-o", "a.json"), "gone is missing"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...], message: str, run_research: RunResearch, tmp_path: Path
) -> None:
    done = run_research(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_terms_against_identity_are_measured_and_printed(
    hr_faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    people, rng = made_up(60), np.random.default_rng(0)
    np.savez(
        tmp_path / "people.npz", pixels=people.pixels, side_px=people.side_px,
        identity=people.person.astype(str), expression=np.array(EMOTIONS)[people.expression],
    )  # fmt: skip

    def vectors_of(faces: Faces) -> NDArray[np.float32]:
        means = faces.reshape(len(faces), 2, 48, 2, 48).mean((2, 4)).reshape(len(faces), 4)
        noisy: NDArray[np.float32] = (means + rng.normal(0, 12, means.shape)).astype(np.float32) / 12
        return noisy

    monkeypatch.setattr(identity_terms, "pooled_features", lambda model: Source("made up", vectors_of))
    corpus = f"ferplus:{write_ferplus(tmp_path, hr_faces)}"
    results = identity_terms.measure_identity_terms(
        tmp_path / "people.npz", corpus, "fast", terms=[(3, 0.0), (2, 0.3)], steps=20
    )
    assert [row["identity"]["numbers"] for row in results["rows"]] == [3, 2]
    assert all(0 <= row["identity"]["trained"][kind]["auc"] <= 1 for row in results["rows"] for kind in KINDS)
    identity_terms.print_identity_terms(results)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [["3", "0"], ["2", "0.3"]]
