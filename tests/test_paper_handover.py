"""How SR-FCN's convolutions are handed over to the recognizer."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the train extra")
pytest.importorskip("torchmetrics", reason="torchmetrics comes with the train extra")

from test_evaluate import write_ferplus  # noqa: E402
from test_paper import tiny  # noqa: E402

from lowbeam.models.normalised import normalise  # noqa: E402
from lowbeam.scale import Faces  # noqa: E402
from lowbeam.train.paper.handover import deviations, scale_as  # noqa: E402
from lowbeam.train.paper.networks import make_cnn_d, make_sr_fcn  # noqa: E402
from research.paper import handover_study, step_time  # noqa: E402
from research.paper.replication_page import write_replication_page  # noqa: E402


def test_features_scaled_as_fresh_ones_see_the_same(hr_faces: Faces) -> None:
    torch.manual_seed(0)
    experiment = tiny(channels=(4, 6, 8))
    restorer = make_sr_fcn(experiment)
    for layer in restorer.convolutions.layers:
        torch.nn.init.normal_(layer.bias, std=0.05)
    network, fresh = make_cnn_d(experiment, restorer.convolutions), make_cnn_d(experiment)
    faces = normalise(torch.from_numpy(hr_faces[:16]))[0]
    with torch.no_grad():
        before = network.features(faces)
        scale_as(network, fresh, faces)
        after = network.features(faces)
    assert deviations(network, faces) == pytest.approx(deviations(fresh, faces), rel=1e-4)
    factor = float(after.sum() / before.sum())
    assert torch.allclose(after, factor * before, atol=1e-5)


def test_the_study_of_the_hand_over_never_reads_the_test_faces(
    hr_faces: Faces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (write_ferplus(tmp_path / "ferplus", hr_faces[:24]) / "test.npz").unlink()
    monkeypatch.setattr(handover_study, "RUNS", tuple((way, 6, 0) for way in handover_study.COMPARED))
    path = tmp_path / "results" / "handover.json"
    path.parent.mkdir()
    handover_study.study(f"ferplus:{tmp_path / 'ferplus'}", tmp_path / "runs", path)
    result = json.loads(path.read_text())
    assert [run["way"] for run in result["runs"]] == [way.name for way in handover_study.COMPARED]
    page = write_replication_page(path.parent, tmp_path / "page.md").read_text()
    for run_ in result["runs"]:
        assert f"| {run_['way']} | 6 | 0 | {run_['valid_loss']:.4f} |" in page


def test_a_training_step_is_timed_in_each_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "STEPS", 1)
    monkeypatch.setattr(step_time, "ROUNDS", 2)
    result = step_time.measure_step_time("python -m research step-time -o step-time.json")
    assert list(result["ms"]) == ["float32", "bfloat16", "bfloat16, compiled pooling"]
    assert all(ms > 0 for ms in result["ms"].values())
    (tmp_path / "step-time.json").write_text(json.dumps(result))
    page = write_replication_page(tmp_path, tmp_path / "page.md").read_text()
    assert "| float32 | " in page
    assert "`python -m research step-time -o step-time.json`" in page
