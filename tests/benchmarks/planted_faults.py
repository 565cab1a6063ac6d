"""Faults at the joints, planted one by one: each must make a unit test of its package fail.

Usage: ``make faults``, or ``python tests/benchmarks/planted_faults.py``. Takes about ten minutes on two idle cores.
A fault whose line has changed since is an error: plant it anew where the line went.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Fault:
    """A line that is replaced by a wrong one, and the tests that must notice.

    Attributes:
        what: What is wrong then.
        file: In which file.
        line: Text that occurs once in the file.
        wrong: What it becomes.
        tests: Unit tests that must fail.
    """

    what: str
    file: str
    line: str
    wrong: str
    tests: str


EVALUATION, EXPLANATION, TRAINING = "tests/pipeline/evaluation", "tests/pipeline/explanation", "tests/pipeline/training"
CASES, SHORTCUTS = "tests/pipeline/explanation/cases", "tests/pipeline/explanation/shortcuts"
FAULTS = (
    # The five that no unit test found before.
    Fault(
        "the unnamed share is that of the named axes",
        "pipeline/explanation/importance.py",
        "unnamed_share=shares[column].estimate()",
        "unnamed_share=shares[0].estimate()",
        EXPLANATION,
    ),
    Fault(
        "class weights are dropped",
        "pipeline/training/plain.py",
        "class_weights=diagnosis_weights(cohort, training.balance)",
        "class_weights=None",
        TRAINING,
    ),
    Fault(
        "the out-of-scope flag never fires",
        "pipeline/explanation/cases/case_figures.py",
        "out_of_scope=flag([case.scope.out_of_scope for case in cases])",
        "out_of_scope=flag([False for case in cases])",
        CASES,
    ),
    Fault(
        "the checkpoint is chosen without the axes",
        "pipeline/training/engine.py",
        'for name in ("macro_auc", "axis_auc") if name in figures',
        'for name in ("macro_auc",) if name in figures',
        TRAINING,
    ),
    Fault(
        "the training residual is measured on test images",
        "pipeline/evaluation/network_outputs.py",
        '((loaders.train, parts.train, "training"), (loaders.test, parts.test, "test"))',
        '((loaders.test, parts.test, "training"), (loaders.test, parts.test, "test"))',
        EVALUATION,
    ),
    # Others.
    Fault(
        "plain and whitened change places",
        "pipeline/evaluation/evaluate.py",
        "plain=diagnosis_figures(plain, labels, classes=classes, weights=weights)",
        "plain=diagnosis_figures(whitened, labels, classes=classes, weights=weights)",
        EVALUATION,
    ),
    Fault(
        "the difference has the wrong sign",
        "pipeline/evaluation/evaluate.py",
        "difference=auc_difference(whitened, plain, labels",
        "difference=auc_difference(plain, whitened, labels",
        EVALUATION,
    ),
    Fault(
        "axes are assessed by the test images' positives",
        "pipeline/evaluation/axes.py",
        "assess(parts.test.concept_labels, parts.train.positives, minimum=minimum)",
        "assess(parts.test.concept_labels, parts.test.positives, minimum=minimum)",
        EVALUATION,
    ),
    Fault(
        "subgroups are compared with everyone",
        "pipeline/evaluation/subgroups.py",
        "images.part(is_known & ~inside)",
        "images.part(is_known)",
        EVALUATION,
    ),
    Fault(
        "labels alone are judged against the plain network",
        "pipeline/evaluation/evaluate.py",
        "concept_only(parts, outputs.whitened.probabilities)",
        "concept_only(parts, outputs.plain.probabilities)",
        EVALUATION,
    ),
    Fault(
        "importance forgets the resamples",
        "pipeline/explanation/explain.py",
        "weights=test.weights,",
        "weights=test.weights * 0 + 1,",
        EXPLANATION,
    ),
    Fault(
        "ranks are turned round",
        "pipeline/explanation/importance.py",
        "sorted(assessed, key=lambda concept: -named[concept].value)",
        "sorted(assessed, key=lambda concept: named[concept].value)",
        EXPLANATION,
    ),
    Fault(
        "the order's stability is of one target for all",
        "pipeline/explanation/stability.py",
        "{target: order_stability(ratios) for target, ratios in resampled.items()}",
        "{target: order_stability(next(iter(resampled.values()))) for target in resampled}",
        EXPLANATION,
    ),
    Fault(
        "sanity permutes nothing",
        "pipeline/explanation/sanity/check.py",
        "labels[generator.permutation(len(labels))]",
        "labels",
        "tests/pipeline/explanation/sanity",
    ),
    Fault(
        "purity is checked for axes that cannot be assessed",
        "pipeline/explanation/sanity/check.py",
        "assessable=[assessment.assessable for assessment in assessments]",
        "assessable=[True for assessment in assessments]",
        "tests/pipeline/explanation/sanity",
    ),
    Fault(
        "truth and call of a failure change places",
        "pipeline/explanation/cases/failures.py",
        "truth=sample.diagnosis,",
        "truth=test.classes[call],",
        CASES,
    ),
    Fault(
        "failures are confident from the truth's probability",
        "pipeline/explanation/cases/failures.py",
        "probability_of_truth=float(probabilities[test.labels[row]])",
        "probability_of_truth=float(probabilities[call])",
        CASES,
    ),
    Fault(
        "thresholds are set on the axis beside",
        "pipeline/explanation/cases/build_reference.py",
        "_axis(parts, column, activations[:, column], activation=activation)",
        "_axis(parts, column, activations[:, 0], activation=activation)",
        CASES,
    ),
    Fault(
        "absent maps are of all images",
        "pipeline/explanation/cases/build_reference.py",
        "(train.concept_labels == 0) & listed[:, None]",
        "(train.concept_labels >= 0) & listed[:, None]",
        CASES,
    ),
    Fault(
        "a shortcut is judged on the training images alone",
        "pipeline/explanation/shortcuts/audit.py",
        "judge_artefacts(train, validation, falls, generator=generator)",
        "judge_artefacts(train, train, falls, generator=generator)",
        SHORTCUTS,
    ),
    Fault(
        "taken out and put in change places",
        "pipeline/explanation/shortcuts/audit.py",
        "taken_out, put_in = measures.taken_out(name, space), measures.put_in(name, space)",
        "put_in, taken_out = measures.taken_out(name, space), measures.put_in(name, space)",
        SHORTCUTS,
    ),
    Fault(
        "alignment learns from the validation images",
        "pipeline/training/whitened.py",
        "_align(network, alignment_loader(settings, cohort, description), settings.training.alignment, run, tracker)",
        "_align(network, validation_loader(settings, cohort, description), settings.training.alignment, run, tracker)",
        TRAINING,
    ),
    Fault(
        "the change by insertion is not measured",
        "pipeline/training/whitened.py",
        "change = largest_change(before, all_logits(network, probe))",
        "change = largest_change(before, before)",
        TRAINING,
    ),
    Fault(
        "the best epoch is the last one",
        "pipeline/training/phases.py",
        "best_epoch={phase.name: history.best_epoch}",
        "best_epoch={phase.name: len(history.epochs)}",
        TRAINING,
    ),
    Fault(
        "groups are split",
        "pipeline/data/splits.py",
        "part_of[group] for image_id, group in pairs",
        "part_of[pairs[number % len(pairs)][1]] for number, (image_id, group) in enumerate(pairs, start=1)",
        "tests/pipeline/data/test_splits.py",
    ),
)


def plant(fault: Fault, folder: Path) -> None:
    """Write the wrong line into a copy of the checkout.

    Raises:
        SystemExit: If the line does not occur exactly once.
    """
    path = folder / fault.file
    text = path.read_text(encoding="utf-8")
    if text.count(fault.line) != 1:
        sys.exit(f"{fault.file}: {text.count(fault.line)} times {fault.line!r}; plant '{fault.what}' anew")
    path.write_text(text.replace(fault.line, fault.wrong), encoding="utf-8")


def is_noticed(fault: Fault) -> bool:
    """Plant a fault in a copy of the checkout and return whether a unit test fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for room in ("concepts", "pipeline", "clinician_ui", "tests", "configs"):
            shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
        plant(fault, folder)
        command = [sys.executable, "-m", "pytest", "-q", "-x", fault.tests]
        environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        completed = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if completed.returncode not in (0, 1):
        sys.exit(f"{fault.what}: the tests could not be run\n{completed.stdout[-2000:]}{completed.stderr[-2000:]}")
    return completed.returncode == 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only faults whose description has one of these words")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if not options.words or any(word in fault.what for word in options.words)]
    noticed = 0
    for fault in faults:
        is_caught = is_noticed(fault)
        noticed += is_caught
        sys.stdout.write(f"{'found ' if is_caught else 'MISSED'} {fault.what} ({fault.file})\n")
        sys.stdout.flush()
    sys.stdout.write(f"{noticed} of {len(faults)} planted faults found by the unit tests\n")
    sys.exit(noticed != len(faults))


if __name__ == "__main__":
    main()
