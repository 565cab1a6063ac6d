"""Runs side by side: what differs in how they were made and in what came out, and whether by more than noise."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from concepts.statistics.intervals import difference_of, is_finite, kendall_tau, wilson
from pipeline.comparison.noise import NETWORKS, Predictions, auc_differences, judged
from pipeline.comparison.seeds import seed_spreads
from pipeline.config import RunSettings
from pipeline.evaluation.diagnosis import MACRO
from pipeline.results.comparison import (
    ComparedRun,
    Comparison,
    Difference,
    Family,
    Method,
    Row,
    SettingRow,
    Stability,
)
from pipeline.results.importance import AxisImportance, ordered_targets
from pipeline.results.names import Names
from pipeline.run.folder import RunFolder, open_run
from pipeline.run.results import RunResults, read_results

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLACES = ("runs", "threads", "data.cache", "data.workers")
"""Settings that say where a run was made; they change no figure."""
SEEDS = ("seed", "data.phantom.seed", "name")
RESAMPLES = 1000
ABSENT = "none"


@dataclass(frozen=True)
class _Side:
    """One run with all that is read from it."""

    run: RunFolder
    report: RunResults
    settings: RunSettings
    predictions: Predictions
    record: Mapping[str, Any]


Get = Callable[[_Side], Estimate | None]


def compare_runs(paths: Sequence[Path], *, resamples: int = RESAMPLES) -> Comparison:
    """Hold runs against the first of them.

    Args:
        paths: Two or more whole runs.
        resamples: Of the test images, for differences in AUC.

    Raises:
        RunError: If there are fewer than two, one is named twice, is not whole, or has no diagnosis of the first.
    """
    sides = [_side(path) for path in _checked(paths)]
    generator = np.random.default_rng(0)
    differences = [
        auc_differences(sides[0].predictions, side.predictions, generator=generator, resamples=resamples)
        for side in sides[1:]
    ]
    settings = _differing([_flat(side.settings.model_dump(mode="json")) for side in sides])
    seeds = bool(settings) and {row.key for row in settings} <= set(SEEDS)
    families = (*_diagnosis(sides, differences), _axes(sides), *_importance(sides))
    return Comparison(
        runs=tuple(_compared(letter, side) for letter, side in zip(LETTERS, sides, strict=False)),
        same_images={
            letter: side.predictions.are_of_the_same_images_as(sides[0].predictions)
            for letter, side in zip(LETTERS, sides, strict=False)
        },
        settings=settings,
        facts=_differing([_facts(side.record) for side in sides]),
        families=families,
        stability=_stability(sides) if seeds else (),
        seeds=seeds,
        resamples=resamples,
        spreads=seed_spreads(families) if seeds else (),
    )


def _checked(paths: Sequence[Path]) -> list[RunFolder]:
    if not 2 <= len(paths) <= len(LETTERS):
        raise RunError(f"a comparison needs 2 to {len(LETTERS)} runs (got {len(paths)}); name them one after the other")
    runs = [open_run(path) for path in paths]
    for run in runs:
        if not run.is_whole:
            raise RunError(f"{run.path}: not whole yet; continue it with 'dermaxis run --resume' before comparing it")
    twice = [
        run for number, run in enumerate(runs) if run.path.resolve() in {one.path.resolve() for one in runs[:number]}
    ]
    if twice:
        raise RunError(f"{twice[0].path}: named twice; a run does not differ from itself")
    return runs


def _side(run: RunFolder) -> _Side:
    report = read_results(run)
    predictions = Predictions(run, report.evaluation.classes)
    return _Side(run, report, run.settings(), predictions, run.read_json("run.json"))


def _compared(letter: str, side: _Side) -> ComparedRun:
    report = side.report
    return ComparedRun(
        letter=letter,
        id=side.run.id,
        name=side.settings.name,
        seed=report.record.seed,
        started=report.record.started,
        commit=report.record.commit,
        architecture=report.settings.model.architecture,
        layer=report.evaluation.whitening.layer,
        release=f"{report.release.name}@{report.release.version}",
        test_images=len(side.predictions.labels),
        concepts=tuple(report.names.concept(concept) for concept in report.evaluation.axes.purity),
    )


def _diagnosis(
    sides: Sequence[_Side], differences: Sequence[Mapping[tuple[str, str], tuple[Estimate, Method]]]
) -> list[Family]:
    keys = [MACRO, *_union(side.report.evaluation.classes for side in sides)]
    if not any(key != MACRO for one in differences for _, key in one):
        raise RunError("the runs have no diagnosis in common; there is nothing to compare")
    comparisons = sum(is_finite(figure) for one in differences for figure, _ in one.values())
    families = []
    for network in NETWORKS:
        rows = [
            Row(
                f"auc.{network}.{key}",
                "all diagnoses (macro)" if key == MACRO else Names().diagnosis(key),
                tuple(getattr(side.report.evaluation.diagnosis, network).auc.get(key) for side in sides),
                tuple(
                    judged(letter, *one[network, key], comparisons=comparisons) if (network, key) in one else None
                    for letter, one in zip(LETTERS[1:], differences, strict=False)
                ),
            )
            for key in keys
        ]
        families.append(Family(f"auc.{network}", f"Diagnosis, {network} network", "AUC", 0.5, tuple(rows), comparisons))
    return families


def _axes(sides: Sequence[_Side]) -> Family:
    names = _names(sides)

    def of(concept: str) -> Get:
        def get(side: _Side) -> Estimate | None:
            purity = side.report.evaluation.axes.purity.get(concept)
            return side.report.evaluation.axis_auc(concept) if purity and purity.is_assessable else None

        return get

    rows = [(f"axis.{concept}", name, of(concept)) for concept, name in names.items()]
    (family,) = _families([("axis", "Concepts: AUC of each one's own axis", rows)], sides, unit="AUC", reference=0.5)
    return family


def _importance(sides: Sequence[_Side]) -> list[Family]:
    names, compared = _names(sides), _targets(sides)
    groups = []
    for target in compared:
        rows = [(f"importance.{target}.{key}", name, _importance_of(target, key)) for key, name in names.items()]
        groups.append((f"importance.{target}", f"Importance, {sides[0].report.names.target(target)}", rows))
    families = _families(groups, sides, unit="loss ratio", reference=1.0)
    return [_with_ranks(family, sides, target) for family, target in zip(families, compared, strict=True)]


def _importance_of(target: str, concept: str) -> Get:
    def get(side: _Side) -> Estimate | None:
        axis = _ranked(side, target).get(concept)
        return None if axis is None else axis.ratio

    return get


def _families(
    groups: Sequence[tuple[str, str, list[tuple[str, str, Get]]]],
    sides: Sequence[_Side],
    *,
    unit: str,
    reference: float,
) -> list[Family]:
    """Families whose differences come from intervals; all of one kind are corrected together."""
    figures = {key: tuple(get(side) for side in sides) for _, _, rows in groups for key, _, get in rows}
    comparisons = sum(is_finite(one) for key in figures for one in _raw(figures[key]))
    return [
        Family(
            family,
            title,
            unit,
            reference,
            tuple(Row(key, name, figures[key], _from_intervals(figures[key], comparisons)) for key, name, _ in rows),
            comparisons,
        )
        for family, title, rows in groups
    ]


def _raw(figures: Sequence[Estimate | None]) -> list[Estimate | None]:
    first, *others = figures
    return [None if one is None or first is None else difference_of(one, first) for one in others]


def _from_intervals(figures: Sequence[Estimate | None], comparisons: int) -> tuple[Difference | None, ...]:
    return tuple(
        None if one is None else judged(letter, one, Method.FROM_INTERVALS, comparisons=comparisons)
        for letter, one in zip(LETTERS[1:], _raw(figures), strict=False)
    )


def _with_ranks(family: Family, sides: Sequence[_Side], target: str) -> Family:
    panels = [{concept: axis.rank for concept, axis in _ranked(side, target).items()} for side in sides]
    rows = [
        Row(
            row.key,
            row.name,
            row.figures,
            row.differences,
            tuple(ranks.get(row.key.rsplit(".", 1)[1]) for ranks in panels),
        )
        for row in family.rows
    ]
    return Family(family.key, family.title, family.unit, family.reference, tuple(rows), family.comparisons)


def _stability(sides: Sequence[_Side]) -> tuple[Stability, ...]:
    found = []
    for target in _targets(sides):
        ratios = [{concept: axis.ratio.value for concept, axis in _ranked(side, target).items()} for side in sides]
        shared = [key for key in ratios[0] if all(np.isfinite(one.get(key, np.nan)) for one in ratios)]
        if len(shared) < 2:
            continue
        taus = [
            float(kendall_tau([a[key] for key in shared], [b[key] for key in shared]))
            for a, b in combinations(ratios, 2)
        ]
        tops = [max(shared, key=one.__getitem__) for one in ratios]
        top = max(sorted(set(tops)), key=tops.count)
        found.append(
            Stability(
                target=sides[0].report.names.target(target),
                tau=mean(taus),
                lowest=min(taus),
                highest=max(taus),
                pairs=len(taus),
                concepts=len(shared),
                top=_names(sides)[top],
                top_share=wilson(tops.count(top), len(tops)),
            )
        )
    return tuple(found)


def _names(sides: Sequence[_Side]) -> dict[str, str]:
    """The concepts of all runs, those of the first run first."""
    return {
        concept: side.report.names.concept(concept) for side in sides for concept in side.report.evaluation.axes.purity
    }


def _targets(sides: Sequence[_Side]) -> list[str]:
    return _union(ordered_targets(side.report.explanation.importance) for side in sides)


def _ranked(side: _Side, target: str) -> Mapping[str, AxisImportance]:
    """The named axes for a target, the most important first; none where the run does not know the target."""
    result = side.report.explanation.importance.get(target)
    return {} if result is None else result.ranked


def _union(lists: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(one for names in lists for one in names))


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    """What else may explain a difference, by name."""
    digests = {f"digest of {key}": value for key, value in record.get("digests", {}).items()}
    versions = {f"version of {key}": value for key, value in record.get("versions", {}).items()}
    return {key: str(value or ABSENT) for key, value in {**digests, "commit": record.get("commit"), **versions}.items()}


def _flat(tree: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Nested settings with dotted keys."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{name}.")
        elif name not in PLACES:
            found[name] = ABSENT if value is None or value == {} else str(value)
    return found


def _differing(sides: Sequence[Mapping[str, str]]) -> tuple[SettingRow, ...]:
    rows = [SettingRow(key, tuple(side.get(key, ABSENT) for side in sides)) for key in _union(sides)]
    return tuple(row for row in rows if len(set(row.values)) > 1)
