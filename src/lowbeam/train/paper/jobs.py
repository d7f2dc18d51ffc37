"""An experiment as a list of jobs: one network each, of one system, for one mixture of scales, from one seed."""

from collections.abc import Iterable
from dataclasses import dataclass

from lowbeam.errors import UsageError
from lowbeam.train.paper.recipe import Experiment, System, load_system


@dataclass(frozen=True)
class Job:
    """One network to train. `needs` names the job whose network it starts from."""

    key: str  # file name of its system
    system: System
    mixture: tuple[int, ...]
    seed: int

    @property
    def name(self) -> str:
        """Also the name of its folder."""
        return _name(self.key, self.mixture, self.seed)

    @property
    def needs(self) -> str | None:
        """The SR-FCN for the largest scale of the mixture, from the same seed."""
        if self.system.starts_from is None:
            return None
        return _name(self.system.starts_from, (max(self.mixture),), self.seed)

    @property
    def test_scales(self) -> tuple[int, ...]:
        """Scales at which it is tested; 1 is HR."""
        return self.system.test_scales or self.mixture


def _name(key: str, mixture: tuple[int, ...], seed: int) -> str:
    return f"{key}-{'.'.join(map(str, mixture))}-seed{seed}"


def jobs_of(
    experiment: Experiment, systems: Iterable[str] = (), scales: Iterable[int] = (), seeds: Iterable[int] = ()
) -> list[Job]:
    """The experiment's jobs, seed by seed in the order of its systems, each directly after the job that it needs, so
    that a stopped run leaves complete tables of the first seeds.

    `systems` (file names), `scales` (only mixtures of these) and `seeds` choose some of them, and those that they need.
    Raises `UsageError` where a choice is not in the experiment.
    """
    systems, scales, seeds = tuple(systems), set(scales), tuple(seeds)
    for name in systems:
        if name not in experiment.systems:
            raise UsageError(f"system {name} is not in {experiment.name}: {', '.join(experiment.systems)}")
    for seed in seeds:
        if seed not in experiment.seeds:
            raise UsageError(f"seed {seed} is not in {experiment.name}: {', '.join(map(str, experiment.seeds))}")
    loaded = {key: load_system(key) for key in experiment.systems}
    every = [
        Job(key, system, mixture, seed)
        for seed in experiment.seeds
        for key, system in loaded.items()
        for mixture in system.mixtures
        if not experiment.mixtures or mixture in experiment.mixtures
    ]
    chosen = {
        job.name for job in every
        if (not systems or job.key in systems) and (not scales or set(job.mixture) <= scales)
        and job.seed in (seeds or experiment.seeds)
    }  # fmt: skip
    if not chosen:
        raise UsageError(f"nothing of {experiment.name} is left by this choice of systems and scales")
    by_name = {job.name: job for job in every}
    ordered: dict[str, Job] = {}
    for job in every:
        if job.name in chosen:
            if job.needs is not None:
                if job.needs not in by_name:
                    raise UsageError(f"experiment {experiment.name} lacks {job.needs}, from which {job.name} starts")
                ordered[job.needs] = by_name[job.needs]
            ordered[job.name] = job
    return list(ordered.values())
