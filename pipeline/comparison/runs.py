"""Runs side by side: what differs in how they were made and in what came out, and whether by more than noise."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from concepts.errors import RunError
from pipeline.comparison.families import RunSide, auc_families, axis_family, importance_families, union
from pipeline.comparison.predictions import auc_differences, read_predictions
from pipeline.comparison.seeds import seed_agreement, seed_spreads
from pipeline.results.comparison import ComparedRun, Comparison, DifferingEntry
from pipeline.results.record import RunRecord
from pipeline.run.folder import RunFolder, open_run
from pipeline.run.results import read_results

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOCATIONS = ("runs", "threads", "data.cache", "data.workers")
"""Settings that say where a run was made; they change no figure."""
SEEDS = ("seed", "data.phantom.seed", "name")
RESAMPLES = 1000
ABSENT = "none"


def compare_runs(paths: Sequence[Path], *, resamples: int = RESAMPLES) -> Comparison:
    """Compare runs with the first of them.

    Args:
        paths: Two or more finished runs.
        resamples: Of the test images, for differences in AUC.

    Raises:
        RunError: If there are fewer than two, one is given twice, is not finished, or has no diagnosis of the first.
    """
    return compare_sides([_read(run) for run in _checked(paths)], resamples=resamples)


def compare_sides(sides: Sequence[RunSide], *, resamples: int = RESAMPLES) -> Comparison:
    """Compare what was read of two or more runs with the first of them.

    Raises:
        RunError: If the runs have no diagnosis in common.
    """
    first, *others = sides
    generator = np.random.default_rng(0)
    differences = [
        auc_differences(first.predictions, other.predictions, generator=generator, resamples=resamples)
        for other in others
    ]
    settings = _differing([flat_settings(side.results.settings.model_dump(mode="json")) for side in sides])
    only_seeds = bool(settings) and {row.key for row in settings} <= set(SEEDS)
    families = (*auc_families(sides, differences), axis_family(sides), *importance_families(sides))
    lettered = list(zip(LETTERS, sides, strict=False))
    return Comparison(
        runs=tuple(_compared_run(letter, side) for letter, side in lettered),
        same_images={
            letter: side.predictions.are_of_the_same_images_as(first.predictions) for letter, side in lettered
        },
        settings=settings,
        facts=_differing([_facts(side.results.record) for side in sides]),
        families=families,
        agreement=seed_agreement(sides) if only_seeds else (),
        spreads=seed_spreads(families) if only_seeds else (),
        only_seeds=only_seeds,
        resamples=resamples,
    )


def flattened(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested settings by their dotted keys; an empty mapping is a leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def flat_settings(tree: Mapping[str, Any]) -> dict[str, str]:
    """Write nested settings by dotted keys, without those that say where a run was made.

    Example:
        >>> flat_settings({"runs": "runs", "seed": 3, "data": {"limit": None, "source": "phantom"}})
        {'seed': '3', 'data.limit': 'none', 'data.source': 'phantom'}
    """
    leaves = ((name, value) for name, value in flattened(tree) if name not in LOCATIONS)
    return {name: ABSENT if value is None or value == {} else str(value) for name, value in leaves}


def _checked(paths: Sequence[Path]) -> list[RunFolder]:
    if not 2 <= len(paths) <= len(LETTERS):
        raise RunError(f"a comparison needs 2 to {len(LETTERS)} runs (got {len(paths)}); give them one after the other")
    runs = [open_run(path) for path in paths]
    for run in runs:
        if not run.is_whole:
            raise RunError(f"{run.path}: not finished; resume it with 'dermaxis run CONFIG --resume', then compare it")
    folders = [run.path.resolve() for run in runs]
    for number, run in enumerate(runs):
        if folders[number] in folders[:number]:
            raise RunError(f"{run.path}: given twice; a run does not differ from itself; give different runs")
    return runs


def _read(run: RunFolder) -> RunSide:
    results = read_results(run)
    return RunSide(id=run.id, results=results, predictions=read_predictions(run, results.evaluation.classes))


def _compared_run(letter: str, side: RunSide) -> ComparedRun:
    results = side.results
    return ComparedRun(
        letter=letter,
        id=side.id,
        name=results.settings.name,
        seed=results.record.seed,
        started=results.record.started,
        commit=results.record.commit,
        architecture=results.settings.model.architecture,
        layer=results.evaluation.whitening.layer,
        release=f"{results.release.name}@{results.release.version}",
        test_images=len(side.predictions.images),
        concepts=tuple(results.names.concept(concept) for concept in results.evaluation.axes.purity),
    )


def _facts(record: RunRecord) -> dict[str, str]:
    """List what else may explain a difference, by name."""
    digests = record.digests.model_dump() if record.digests else {}
    return {
        **{f"digest of {key}": digest for key, digest in digests.items()},
        "commit": record.commit or ABSENT,
        **{f"version of {package}": version for package, version in record.versions.items()},
    }


def _differing(sides: Sequence[Mapping[str, str]]) -> tuple[DifferingEntry, ...]:
    rows = [DifferingEntry(key=key, values=tuple(side.get(key, ABSENT) for side in sides)) for key in union(sides)]
    return tuple(row for row in rows if len(set(row.values)) > 1)
