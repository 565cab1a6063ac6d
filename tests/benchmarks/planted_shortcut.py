"""Is a planted shortcut named, is none named where none was planted, and what comes back when it is suppressed?

    python tests/benchmarks/planted_shortcut.py --seeds 0 1 2 --runs FOLDER --train
    python tests/benchmarks/planted_shortcut.py --seeds 0 1 2 --runs FOLDER --out shortcuts.jsonl
    python tests/benchmarks/planted_shortcut.py --summary --out shortcuts.jsonl

For each seed two networks are trained with the same settings on the same lesions: one on the cohort in which an
artefact is tied to a diagnosis in all patients (training, validation and test images alike), one on its counterpart
without. Both are audited. Over the seeds artefact and diagnosis change: seed k ties artefact k mod 6 to diagnosis k
div 6 mod 3. Networks that lie in the folder of the runs already are not trained again.

On the counterpart's test images (the same lesions and artefacts, the tied one at its base rate) let A be the accuracy
of the network that learnt with the shortcut, B that of the same network with the directions of the *first named
artefact* suppressed, and C that of the network that learnt without. The shortcut cost C - A, and suppression gave
back B - A; the share recovered is the sum of B - A over seeds over the sum of C - A. A seed in which nothing was
named gave back nothing. Directions, names and intercepts come from training and validation images; test images are
only measured.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from concepts.release import read_release
from pipeline.config import RunSettings, load_settings
from pipeline.data.cohort import Cohort, prepare_cohort
from pipeline.data.phantom.lesion import ARTEFACTS
from pipeline.data.phantom.patients import counterpart
from pipeline.data.phantom.rule import DIAGNOSES
from pipeline.data.splits import read_split
from pipeline.explanation.explained_network import ExplainedNetwork, open_explained
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, joined
from pipeline.explanation.shortcuts.artefacts import labelled_parts
from pipeline.explanation.shortcuts.audit import find_shortcuts
from pipeline.explanation.shortcuts.figures import FIGURES, accuracy
from pipeline.explanation.shortcuts.repainting import drawn_logits, painted_lesions, with_artefact
from pipeline.explanation.shortcuts.suppression import fitted_intercepts
from pipeline.explanation.shortcuts.verdicts import Verdicts
from pipeline.retrain import retrain
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent
from pipeline.stages import Stage
from pipeline.suppress import suppressed_network
from pipeline.training.loss import class_weights

CONFIG = Path(__file__).parents[2] / "configs" / "phantom_shortcut.yaml"
ARMS = ("tied", "clean")
EPOCHS = 10
"""For which what comes after the layer is trained on, in ``relearnt`` and, to compare with it, in ``clean_longer``."""
Values = NDArray[np.float64]
TARGETS = "targets: top in 20 of 20, clean in at least 19 of 20, recovered at least 0.80"


def main() -> int:
    asked = parse()
    torch.set_num_threads(1)
    if asked.summary:
        sys.stdout.write(summary([json.loads(line) for line in asked.out.read_text().splitlines()]) + "\n")
        return 0
    for seed in asked.seeds:
        start = time.process_time()
        for arm in ARMS:
            settings = settings_of(arm, seed, asked)
            if not trained(settings):
                retrain(settings, tracker=Silent(), last=Stage.WHITENED)
        if not asked.train:
            line = json.dumps({**one_seed(seed, asked), "cpu_seconds": round(time.process_time() - start, 1)})
            with asked.out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the networks are kept")
    parser.add_argument("--out", type=Path, help="JSON lines are appended to this file")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes of the settings")
    parser.add_argument("--train", action="store_true", help="only train")
    parser.add_argument("--summary", action="store_true", help="sum up the lines of the file instead")
    return parser.parse_args()


def tie_of(seed: int) -> tuple[str, str]:
    """The artefact and the diagnosis that a seed ties."""
    return ARTEFACTS[seed % len(ARTEFACTS)], DIAGNOSES[seed // len(ARTEFACTS) % len(DIAGNOSES)]


def settings_of(arm: str, seed: int, asked: argparse.Namespace) -> RunSettings:
    artefact, diagnosis = tie_of(seed)
    planted = [f"data.phantom.shortcut.artefact={artefact}", f"data.phantom.shortcut.diagnosis={diagnosis}"]
    if arm == "clean":
        planted = ["data.phantom.shortcut=null"]
    places = [f"name={arm}-{seed}", f"runs={asked.runs}", f"data.cache={asked.runs / 'cache'}", "threads=1"]
    changes = [f"seed={seed}", f"data.phantom.seed={seed}", *planted]
    # A changed strength of the shortcut says nothing to the arm that has none.
    applicable = [
        override for override in asked.set if arm == "tied" or not override.startswith("data.phantom.shortcut")
    ]
    return load_settings(asked.config, [*places, *applicable, *changes])


def trained(settings: RunSettings) -> RunFolder | None:
    """A run with these settings that was trained already."""
    runs = [RunFolder(path) for path in sorted(settings.runs.glob(f"{settings.name}-*"))]
    return next((run for run in runs if run.has("model.json") and run.settings() == settings), None)


class Opened(NamedTuple):
    """The whitened network of a trained run, with its settings and its cohort."""

    network: ExplainedNetwork
    settings: RunSettings
    cohort: Cohort


def opened(settings: RunSettings) -> Opened:
    """Open the whitened network of a trained run."""
    run = trained(settings)
    assert run is not None
    split, release = read_split(run.file("split.csv")), read_release(run.file("release.json"))
    cohort = prepare_cohort(settings, tracker=Silent(), split=split, release=release)
    return Opened(open_explained(settings, cohort, run=run), settings, cohort)


def one_seed(seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Both arms of one seed."""
    artefact, diagnosis = tie_of(seed)
    tied, clean = (opened(settings_of(arm, seed, asked)) for arm in ARMS)
    spaces, planted = audited(tied)
    _, absent = audited(clean)
    test = tied.network.parts.test
    assert test.image_ids == clean.network.parts.test.image_ids
    named = names(planted)
    return {
        "seed": seed,
        "artefact": artefact,
        "diagnosis": diagnosis,
        "named_planted": named,
        "top": named[:1] == [[artefact, diagnosis]],
        "top_artefact": [entry[0] for entry in named[:1]] == [artefact],
        "named_clean": names(absent),
        "tests_planted": tests(spaces, planted, artefact, diagnosis),
        "with_shortcut": values(tied.network, tied.network.test_outputs(Silent()).logits),
        "counterpart": counterparts(tied, clean, spaces, named),
        "without_artefact": {"tied": never_seen(tied, artefact), "clean": never_seen(clean, artefact)},
        "test_images": len(test),
    }


def audited(run: Opened) -> tuple[dict[str, ArtefactSpace], Verdicts]:
    """The directions of the artefacts, and which are shortcuts."""
    parts = labelled_parts(run.cohort, run.network.parts, tracker=Silent())
    spaces, verdicts = find_shortcuts(run.network, parts, tracker=Silent())
    assert verdicts is not None
    return spaces, verdicts


def counterparts(
    tied: Opened, clean: Opened, spaces: dict[str, ArtefactSpace], pairs: list[list[str]]
) -> dict[str, dict[str, float]]:
    """Accuracy on the test images as they are without the shortcut."""
    lesions = [counterpart(lesion) for lesion in painted_lesions(tied.settings.data, tied.network.parts.test.samples)]
    networks = {"tied": tied.network, "clean": clean.network}

    def suppressed(run: Opened, space: ArtefactSpace, **kind: Any) -> ExplainedNetwork:
        return suppressed_network(run.network, space, run.settings, run.cohort, tracker=Silent(), **kind)[0]

    if pairs:
        named = [pairs[0][0]]
        space = spaces[named[0]]
        networks["suppressed"] = suppressed(tied, space, artefacts=named)
        networks["suppressed_alone"] = suppressed(tied, space, intercepts=False)
        networks["relearnt"] = suppressed(tied, space, artefacts=named, epochs=EPOCHS)
    else:
        networks |= dict.fromkeys(("suppressed", "suppressed_alone", "relearnt"), tied.network)
    networks["clean_longer"] = suppressed(clean, joined([], clean.network.channels), epochs=EPOCHS)
    return {name: values(entry, drawn_logits(entry, lesions)) for name, entry in networks.items()}


def never_seen(run: Opened, artefact: str) -> dict[str, float]:
    """Accuracy on the test images without the artefact in any, intercepts fitted on validation images like them.

    For the network that learnt with the shortcut this is what suppression can reach at best: the artefact cannot
    mislead it, and what it did not learn because the artefact was enough it still does not know.
    """
    network = run.network
    test, validation = (
        [with_artefact(lesion, artefact, present=False) for lesion in painted_lesions(run.settings.data, data.samples)]
        for data in (network.parts.test, network.parts.validation)
    )
    labels = torch.from_numpy(network.parts.validation.labels)
    weights = class_weights(labels, len(run.cohort.classes))[labels]
    shift = fitted_intercepts(drawn_logits(network, validation), labels, weights=weights)
    return values(network, drawn_logits(network, test) + shift)


def names(verdicts: Verdicts) -> list[list[str]]:
    """The named pairs, strongest first."""
    return [[pair.artefact, pair.diagnosis] for pair in verdicts.named()]


def tests(spaces: dict[str, ArtefactSpace], verdicts: Verdicts, artefact: str, diagnosis: str) -> dict[str, float]:
    """Adjusted p-values and the effect of the planted pair, and how many directions the artefact has."""
    row, column = verdicts.artefacts.index(artefact), verdicts.classes.index(diagnosis)
    return {
        "tie": float(verdicts.tie[row, column]),
        "use": float(verdicts.use[row, column]),
        "effect": round(float(verdicts.effects[row, column]), 3),
        "directions": spaces[artefact].rank,
    }


def values(network: ExplainedNetwork, logits: torch.Tensor) -> dict[str, float]:
    figures = accuracy(logits, network.parts.test)
    return {name: round(figures[name].value, 5) for name in FIGURES}


def summary(lines: Sequence[dict[str, Any]]) -> str:
    """Counts, and the share recovered with its interval by resampling seeds."""
    n = len(lines)
    told = [
        TARGETS,
        f"planted: the artefact named first in {sum(line['top_artefact'] for line in lines)} of {n}, "
        f"with its diagnosis in {sum(line['top'] for line in lines)}",
        f"not planted: none named in {sum(not line['named_clean'] for line in lines)} of {n}",
    ]
    for figure in FIGURES:

        def column(*path: str, figure: str = figure) -> Values:
            return np.array([line[path[0]][path[1]][figure] for line in lines])

        tied, clean = column("counterpart", "tied"), column("counterpart", "clean")
        with_shortcut, ceiling = (
            np.array([line["with_shortcut"][figure] for line in lines]),
            column("without_artefact", "tied"),
        )
        told.append(
            f"{figure}, mean over {n} seeds: learnt with the shortcut {tied.mean():.3f} (on its own test images "
            f"{with_shortcut.mean():.3f}), learnt without {clean.mean():.3f}; on images without the artefact in any "
            f"{ceiling.mean():.3f} and {column('without_artefact', 'clean').mean():.3f}"
        )
        longer = column("counterpart", "clean_longer")
        told.append(f"  learnt without, and for {EPOCHS} more epochs: {longer.mean():.3f}")
        for kind in ("suppressed", "suppressed_alone", "relearnt"):
            back = column("counterpart", kind) - tied
            told.append(
                f"  {kind} {(back + tied).mean():.3f}; recovered {share(back, clean - tied)} of what the shortcut "
                f"cost, {share(back, longer - tied)} against learnt without and {EPOCHS} more epochs, "
                f"{share(back, ceiling - tied)} of what suppression can give back at best"
            )
    return "\n".join(told)


def share(back: Values, cost: Values, *, resamples: int = 10_000) -> str:
    """Ratio of sums over seeds with its 95 % interval."""
    drawn = np.random.default_rng(0).integers(len(back), size=(resamples, len(back)))
    low, high = np.percentile(back[drawn].sum(axis=1) / cost[drawn].sum(axis=1), (2.5, 97.5))
    return f"{back.sum() / cost.sum():.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    sys.exit(main())
