"""One training run from a recipe to an ONNX file: restore, finetune, export, calibrate."""

from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader, Dataset

from lowbeam.corpora import ferplus
from lowbeam.corpora.ferplus import Stills
from lowbeam.files import make_folder, whole_file
from lowbeam.models.export import export_onnx
from lowbeam.train.calibrate import calibrate
from lowbeam.train.recipe import Recipe
from lowbeam.train.stages import Batch, FinetuneStage, RestoreStage


class _StillsDataset(Dataset):
    """`Stills` as tensors, fetched a batch at a time."""

    def __init__(self, stills: Stills) -> None:
        self._tensors = tuple(map(torch.from_numpy, (stills.pixels, stills.affect, stills.emotion)))

    def __len__(self) -> int:
        return len(self._tensors[0])

    def __getitems__(self, indices: list[int]) -> Batch:
        pixels, affect, emotion = (tensor[indices] for tensor in self._tensors)
        return pixels, affect, emotion


def _loader(stills: Stills, batch: int, shuffle: bool) -> DataLoader:
    # A last batch of a few faces would give a CCC of noise, so training drops it.
    drop = shuffle and len(stills) > batch
    return DataLoader(_StillsDataset(stills), batch, shuffle=shuffle, drop_last=drop, collate_fn=lambda batch: batch)


def _fit(stage: L.LightningModule, folder: Path, recipe: Recipe, epochs: int, every: int, loaders: tuple,
         *callbacks: Callback) -> None:  # fmt: skip
    """Fit `stage`, going on from ``folder/last.ckpt`` where a killed run left one."""
    trainer = L.Trainer(
        max_epochs=epochs, check_val_every_n_epoch=every, precision=recipe.precision, callbacks=list(callbacks),
        logger=CSVLogger(folder, name="log"), enable_model_summary=False, log_every_n_steps=20,
    )  # fmt: skip
    last = folder / "last.ckpt"
    trainer.fit(stage, *loaders, ckpt_path=last if last.exists() else None, weights_only=False)


def _restored_trunk(recipe: Recipe, train: Stills, valid: Stills, folder: Path) -> RestoreStage:
    L.seed_everything(recipe.seed, verbose=False)
    stage = RestoreStage(recipe)
    saver = ModelCheckpoint(folder, filename="restore", save_last=True, every_n_epochs=1, enable_version_counter=False)
    loaders = (_loader(train, recipe.restore.batch, True), _loader(valid, recipe.restore.batch, False))
    _fit(stage, folder, recipe, recipe.restore.epochs, 1, loaders, saver)
    return stage


def _finetuned(recipe: Recipe, train: Stills, valid: Stills, folder: Path, restored: RestoreStage) -> FinetuneStage:
    mix = recipe.finetune
    L.seed_everything(recipe.seed, verbose=False)
    stage = FinetuneStage(recipe, restored.restorer.trunk)
    best = ModelCheckpoint(
        folder, filename="best", monitor="valid/ccc", mode="max", enable_version_counter=False,
        every_n_epochs=mix.validate_every,
    )  # fmt: skip
    last = ModelCheckpoint(folder, filename="last", every_n_epochs=1, enable_version_counter=False)
    average = EMAWeightAveraging(decay=mix.average_decay)
    loaders = (_loader(train, mix.batch, True), _loader(valid, mix.batch, False))
    _fit(stage, folder, recipe, mix.epochs, mix.validate_every, loaders, best, last, average)
    chosen = torch.load(best.best_model_path, map_location="cpu", weights_only=False)
    stage.load_state_dict(chosen["state_dict"])
    return stage


def train(recipe: Recipe, corpus: str | Path, out: str | Path) -> Path:
    """Train as `recipe` says on a FER+ folder; checkpoints and logs go to `out`, and a killed run goes on from them.

    Trains on ``train``, chooses the checkpoint and calibrates on ``valid``, and never opens ``test``. Returns the path
    of the ONNX file.
    """
    training, valid = ferplus.load(corpus, "train"), ferplus.load(corpus, "valid")
    folder = make_folder(out)
    restored = _restored_trunk(recipe, training, valid, folder / "restore")
    finetuned = _finetuned(recipe, training, valid, folder / "finetune", restored)
    path = folder / f"{recipe.name}.onnx"
    if rank_zero_only.rank != 0:  # on several GPUs, one process writes
        return path
    with whole_file(path) as beside:
        export_onnx(finetuned.network, beside)
        calibrate(beside, valid)
    return path
