"""How often explanations of single cases are right, on phantom runs, where the truth is known.

``python tests/benchmarks/explained_cases.py RUN [RUN …] [--turns 4] [--json FILE]``: every test image of each run is
explained (in a copy; the run stays as it is), and two things are counted. Contributions: does the concept that decided
the lesion by the rule (`pipeline/explanation/cases/planted.py` says what that means) have the largest Shapley value of
all concepts in the rule's diagnosis? Evidence: does the most active position of a map lie in the planted mask?
Intervals are 95 %, by bootstrap over patients; over several runs the patients of all are drawn together. ``--turns``
averages maps over turns of the image, whatever the run's settings say. A few minutes for 700 images.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from concepts.release import read_release
from concepts.statistics.bootstrap import group_weights, ratio, resample
from pipeline.data.cohort import Cohort, prepare_cohort
from pipeline.data.splits import Part, read_split
from pipeline.explanation.cases.explain_cases import ExplainedCases, explain_cases
from pipeline.explanation.cases.files import read_case
from pipeline.explanation.cases.planted import cause_hits, causes
from pipeline.explanation.explained_network import open_explained, open_plain
from pipeline.run.folder import RunFolder, open_run
from pipeline.run.progress import Silent

RESAMPLES = 2000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--turns", type=int)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    figures_of: dict[str, Any] = {}
    hits, called, patients = [], [], []
    for path in asked.runs:
        with tempfile.TemporaryDirectory() as folder:
            run = _copy(path, Path(folder), turns=asked.turns)
            cohort = _cohort(run)
            figures = _explain(run, cohort)
            outcomes = _outcomes(run, cohort)
        sections = {"planted_cause": figures.planted_cause, "pointing": figures.pointing}
        figures_of[path.name] = {name: part and part.model_dump(mode="json") for name, part in sections.items()}
        hits.append(outcomes[0])
        called.append(outcomes[1])
        patients += [f"{path.name}/{group}" for group in cohort.groups(cohort.part(Part.TEST))]
        sys.stdout.write(_lines(path.name, figures_of[path.name]))
        sys.stdout.flush()
    every, as_called = np.concatenate(hits), np.concatenate(called)
    figures_of["all runs"] = {
        "decided": _share(every, patients),
        "decided_and_called": _share(np.where(as_called, every, np.nan), patients),
    }
    for name, row in figures_of["all runs"].items():
        sys.stdout.write(f"all runs, {name}: {_text(row)}\n")
    if asked.json:
        asked.json.write_text(json.dumps(figures_of, indent=1), encoding="utf-8")


def _copy(path: Path, folder: Path, *, turns: int | None) -> RunFolder:
    source = open_run(path)
    patterns = ("*.json", "*.csv", "*.safetensors", "settings.yaml")
    target = folder / path.name
    target.mkdir()
    for file in (path for pattern in patterns for path in source.path.glob(pattern)):
        shutil.copy(file, target / file.name)
    settings = yaml.safe_load((target / "settings.yaml").read_text(encoding="utf-8"))
    settings["model"]["turns"] = turns or settings["model"]["turns"]
    (target / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return RunFolder(target)


def _cohort(run: RunFolder) -> Cohort:
    split, release = read_split(run.file("split.csv")), read_release(run.file("release.json"))
    return prepare_cohort(run.settings(), tracker=Silent(), split=split, release=release)


def _explain(run: RunFolder, cohort: Cohort) -> ExplainedCases:
    settings = run.settings()
    network, plain = open_explained(settings, cohort, run=run), open_plain(settings, cohort, run=run)
    return explain_cases(network, plain=plain, release=cohort.release, limit=None, run=run, tracker=Silent())


def _outcomes(run: RunFolder, cohort: Cohort) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    test = cohort.part(Part.TEST)
    cases = [read_case(run, sample.image_id) for sample in test]
    labels = cohort.concept_labels(test)
    shares = [
        {name: {row.concept: row.contributions[name].share for row in case.concepts} for name in cohort.classes}
        for case in cases
    ]
    decided = causes(labels, cohort.concepts)
    called = [cause is not None and cause[1] == case.call for cause, case in zip(decided, cases, strict=True)]
    return cause_hits(labels, shares, concepts=cohort.concepts), np.array(called)


def _share(values: np.ndarray[Any, Any], patients: list[str]) -> dict[str, Any]:
    is_finite = np.isfinite(values)
    weights = group_weights(patients, resamples=RESAMPLES, generator=np.random.default_rng(0))[:, is_finite]
    return resample(lambda weight: ratio(weight @ values[is_finite], weight.sum(axis=1)), weights).estimate().to_json()


def _lines(name: str, figures: dict[str, Any]) -> str:
    lines = [f"{name}\n"]
    lines += [f"  planted cause first, {which}: {_text(row)}\n" for which, row in figures["planted_cause"].items()]
    pointing = figures["pointing"] or {"concepts": {}, "overall": None}
    rows = {**pointing["concepts"], "overall": pointing["overall"]}
    for concept, row in rows.items():
        if row and row["hit_rate"]:
            sentence = ", ".join(f"{key} {_text(row[key])}" for key in ("hit_rate", "chance", "grad_cam"))
            lines.append(f"  {concept}, width {row.get('width', '-')}: {sentence}\n")
    return "".join(lines)


def _text(figure: dict[str, Any]) -> str:
    ends = "no interval" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"
    return "none" if figure["value"] is None else f"{figure['value']:.3f} ({ends}), n = {figure['n']}"


if __name__ == "__main__":
    main()
