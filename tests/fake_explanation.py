"""Explanations and records made by hand, for tests that read them."""

from pathlib import Path

from fake_evaluation import FIGURE

from pipeline.results.cases import CasesResult, FlagRates
from pipeline.results.explanation import Explanation
from pipeline.results.importance import AxisImportance, TargetImportance
from pipeline.results.record import Digests, EpochFigures, Machine, RunRecord
from pipeline.results.result import Band
from pipeline.results.shortcuts import ShortcutAudit
from pipeline.results.trust import FailuresResult
from pipeline.run.folder import RunFolder

BAND = Band(low=0.98, high=1.02)
RATES = FlagRates(share=FIGURE, right_where_raised=FIGURE, right_elsewhere=FIGURE)


def made_explanation(concepts=("streaks",), targets=("melanoma", "nevus", "overall"), **changes) -> Explanation:
    """An explanation in which every concept has the same importance for every target."""
    axes = {
        concept: AxisImportance(ratio=FIGURE, rank=rank, null=BAND) for rank, concept in enumerate(concepts, start=1)
    }
    entries = {
        "importance": {target: TargetImportance(concepts=axes, unnamed_share=FIGURE) for target in targets},
        "permutations": 20,
        "stability": dict.fromkeys(targets),
        "exemplars": dict.fromkeys(concepts, ()),
        "cases": CasesResult(
            n=10, of=20, right=FIGURE, plausible_set_covers=FIGURE, abstain=RATES, conflict=RATES, out_of_scope=RATES
        ),
        "failures": FailuresResult(wrong=FIGURE, confident=0.8, wrong_where_confident=FIGURE, gallery=()),
        "shortcuts": ShortcutAudit(artefacts={}, named=(), level=0.05, fewest=10),
    }
    return Explanation(**(entries | changes))


def made_record(**changes) -> RunRecord:
    """The record of a run that was trained for two epochs."""
    entries = {
        "id": "small-20260101-000000",
        "started": "2026-01-01T00:00:00+00:00",
        "seed": 0,
        "versions": {"dermaxis": "0.1.0"},
        "machine": Machine(platform="Linux", processors=2),
        "digests": Digests(data="a" * 64, split="b" * 64, release="c" * 64),
        "history": {
            "plain": tuple(EpochFigures(epoch=epoch, loss=1 / epoch, macro_auc=0.5 + epoch / 10) for epoch in (1, 2))
        },
        "best_epoch": {"plain": 2},
    }
    return RunRecord(**(entries | changes))


def made_run(folder: Path) -> RunFolder:
    """A run folder with a record and nothing trained yet, as `create_run` leaves it."""
    folder.mkdir(exist_ok=True)
    run = RunFolder(folder)
    run.write(made_record(history={}, best_epoch={}))
    return run
