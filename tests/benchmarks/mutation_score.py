"""How many planted faults the unit tests of a package find: a seeded sample of mutants, by mutmut.

Usage: ``make mutate PACKAGE=evaluation``, or ``python tests/benchmarks/mutation_score.py evaluation --sample 200``.
Takes 10 to 60 minutes a package on two cores; not part of CI.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "evaluation": (["pipeline/evaluation/*.py"], ["tests/pipeline/evaluation"]),
    "explanation": (["pipeline/explanation/*.py"], ["tests/pipeline/explanation"]),
    "training": (["pipeline/training/*.py"], ["tests/pipeline/training"]),
    "whitening": (["pipeline/whitening/*.py"], ["tests/pipeline/whitening"]),
    "splits": (["pipeline/data/splits.py", "pipeline/data/stratify.py"], ["tests/pipeline/data"]),
    "calibration": (["pipeline/explanation/cases/calibration.py"], ["tests/pipeline/explanation/cases"]),
    "agreement": (
        ["concepts/statistics/*.py", "concepts/consensus.py"],
        ["tests/concepts/statistics", "tests/concepts/test_consensus.py"],
    ),
}
"""By name, the files that are mutated (``*`` goes down folders), and the tests that must find it."""


def prepare(package: str, folder: Path) -> None:
    """Copy the checkout into a folder of its own and tell mutmut what to mutate there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    files, tests = PACKAGES[package]
    settings = {
        "source_paths": ["concepts", "pipeline"],
        "only_mutate": files,
        "also_copy": ["configs", "clinician_ui", "README.md", "docs"],
        "pytest_add_cli_args_test_selection": tests,
        "pytest_add_cli_args": ["-q"],
        "timeout_constant": ["10"],
    }
    lines = ["[mutmut]"]
    for key, values in settings.items():
        lines += [f"{key}=", *(f"    {value}" for value in values)] if len(values) > 1 else [f"{key}={values[0]}"]
    (folder / "setup.cfg").write_text("\n".join(lines) + "\n")


def mutmut(folder: Path, names: list[str], children: int) -> None:
    """Run mutmut on the named mutants; its own report goes to a file beside them."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(children), *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    with (folder / "mutmut.log").open("a") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)


def outcomes(folder: Path) -> dict[str, int | None]:
    """By mutant, the exit status of the tests: 0 where it survived, None where it was not tried."""
    results: dict[str, int | None] = {}
    for file in sorted((folder / "mutants").rglob("*.meta")):
        results |= json.loads(file.read_text())["exit_code_by_key"]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--children", type=int, default=2, help="processes at a time")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "mutation")
    options = parser.parse_args()
    folder = options.folder / options.package
    prepare(options.package, folder)
    mutmut(folder, ["no.such.mutant"], options.children)  # makes the mutants, and finds out which test runs what
    names = sorted(outcomes(folder))
    if not names:
        sys.exit(f"mutmut made no mutants; see {folder / 'mutmut.log'}")
    sample = sorted(random.Random(options.seed).sample(names, min(options.sample, len(names))))
    mutmut(folder, sample, options.children)
    results = outcomes(folder)
    survivors = [name for name in sample if results[name] in (0, None, 5, 33)]
    score = 1 - len(survivors) / len(sample)
    found_of = f"{len(sample) - len(survivors)} of {len(sample)}"
    lines = [f"{options.package}: {found_of} mutants found ({score:.1%})"]
    sys.stdout.write("\n".join([*lines, *(f"  survived: {name}" for name in survivors)]) + "\n")


if __name__ == "__main__":
    main()
