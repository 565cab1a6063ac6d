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
from pipeline.explanation.cases.explain_cases import explain_cases
from pipeline.explanation.cases.files import read_case
from pipeline.explanation.cases.planted import cause_hits, causes
from pipeline.explanation.explained_network import open_explained
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
    found: dict[str, Any] = {}
    hits, called, patients = [], [], []
    for path in asked.runs:
        with tempfile.TemporaryDirectory() as folder:
            run = _copy(path, Path(folder), turns=asked.turns)
            cohort = _cohort(run)
            figures = _explain(run, cohort)
            own = _outcomes(run, cohort)
        found[path.name] = {"planted_cause": figures["planted_cause"], "pointing": figures["pointing"]}
        hits.append(own[0])
        called.append(own[1])
        patients += [f"{path.name}/{one}" for one in cohort.groups(cohort.part(Part.TEST))]
        sys.stdout.write(_lines(path.name, found[path.name]))
        sys.stdout.flush()
    every, as_called = np.concatenate(hits), np.concatenate(called)
    found["all runs"] = {
        "decided": _share(every, patients),
        "decided_and_called": _share(np.where(as_called, every, np.nan), patients),
    }
    for name, row in found["all runs"].items():
        sys.stdout.write(f"all runs, {name}: {_said(row)}\n")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _copy(path: Path, folder: Path, *, turns: int | None) -> RunFolder:
    source = open_run(path)
    kept = ("*.json", "*.csv", "*.safetensors", "settings.yaml")
    target = folder / path.name
    target.mkdir()
    for file in (one for pattern in kept for one in source.path.glob(pattern)):
        shutil.copy(file, target / file.name)
    settings = yaml.safe_load((target / "settings.yaml").read_text(encoding="utf-8"))
    settings["explanation"]["cases"] = None
    settings["model"]["turns"] = turns or settings["model"]["turns"]
    (target / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return RunFolder(target)


def _cohort(run: RunFolder) -> Cohort:
    split, release = read_split(run.file("split.csv")), read_release(run.file("release.json"))
    return prepare_cohort(run.settings(), tracker=Silent(), split=split, release=release)


def _explain(run: RunFolder, cohort: Cohort) -> dict[str, Any]:
    network = open_explained(run.settings(), cohort, run=run)
    outputs = network.outputs(cohort.part(Part.TEST), tracker=Silent(), title="test")
    return explain_cases(network, run=run, outputs=outputs, tracker=Silent())


def _outcomes(run: RunFolder, cohort: Cohort) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    test = cohort.part(Part.TEST)
    cases = [read_case(run, sample.image_id) for sample in test]
    labels = cohort.concept_labels(test)
    shares = [
        {name: {one.concept: one.contributions[name].share for one in case.concepts} for name in cohort.classes}
        for case in cases
    ]
    decided = causes(labels, cohort.concepts)
    called = [cause is not None and cause[1] == case.call for cause, case in zip(decided, cases, strict=True)]
    return cause_hits(labels, shares, concepts=cohort.concepts), np.array(called)


def _share(values: np.ndarray[Any, Any], patients: list[str]) -> dict[str, Any]:
    known = np.isfinite(values)
    weights = group_weights(patients, resamples=RESAMPLES, generator=np.random.default_rng(0))[:, known]
    return resample(lambda one: ratio(one @ values[known], one.sum(axis=1)), weights).estimate().to_json()


def _lines(name: str, figures: dict[str, Any]) -> str:
    lines = [f"{name}\n"]
    lines += [f"  planted cause first, {which}: {_said(row)}\n" for which, row in figures["planted_cause"].items()]
    rows = {**figures["pointing"]["concepts"], "overall": figures["pointing"]["overall"]}
    for concept, row in rows.items():
        if row and row["hit_rate"]:
            said = ", ".join(f"{key} {_said(row[key])}" for key in ("hit_rate", "chance", "grad_cam"))
            lines.append(f"  {concept}, width {row.get('width', '-')}: {said}\n")
    return "".join(lines)


def _said(figure: dict[str, Any]) -> str:
    ends = "no interval" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"
    return "none" if figure["value"] is None else f"{figure['value']:.3f} ({ends}), n = {figure['n']}"


if __name__ == "__main__":
    main()
