"""The explanation, record and results of a run, made by hand: valid, small, and without a network."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from math import nan
from pathlib import Path

from fake_evaluation import FIGURE, made_evaluation
from PIL import Image

from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.release import Release, freeze, write_release
from concepts.statistics.estimate import Estimate, is_known
from pipeline.config import RunSettings, dump_settings, parse_overrides
from pipeline.results.cases import CasesResult, FlagRates
from pipeline.results.evaluation import Evaluation
from pipeline.results.explanation import Explanation
from pipeline.results.importance import OVERALL, AxisExample, AxisImportance, TargetImportance
from pipeline.results.record import Digests, Machine, RunRecord
from pipeline.results.result import Band
from pipeline.results.shortcuts import ShortcutAudit
from pipeline.results.trust import FailuresResult, NullCheck, OrderStability, RankStability, SanityResult
from pipeline.run.folder import RunFolder
from pipeline.run.results import RunResults

CONCEPTS = ("streaks", "veil")
CLASSES = ("melanoma", "nevus")
NO_BAND = Band(low=nan, high=nan)
RATIO = Estimate(1.4, 1.2, 1.6, 100)


def made_importance(
    ratios: Mapping[str, Estimate | float], *, null: Band = NO_BAND, unnamed: Estimate = FIGURE
) -> TargetImportance:
    """Importance with these ratios, ranked by them; a bare number gets an interval of 0.1 to either side."""
    figures = {
        concept: ratio if isinstance(ratio, Estimate) else Estimate(ratio, ratio - 0.1, ratio + 0.1, 100)
        for concept, ratio in ratios.items()
    }
    assessable = [concept for concept, figure in figures.items() if is_known(figure)]
    ranked = sorted(assessable, key=lambda concept: -figures[concept].value)
    return TargetImportance(
        concepts={
            concept: AxisImportance(
                ratio=figure, rank=ranked.index(concept) + 1 if concept in ranked else None, null=null
            )
            for concept, figure in figures.items()
        },
        unnamed_share=unnamed,
    )


def made_check(
    figure: Estimate = RATIO, null: Estimate | None = None, *, meaningless: bool | None = False
) -> NullCheck:
    """A figure against what chance gives."""
    randomised = null or Estimate(1.0, 0.98, 1.02, 10)
    difference = Estimate(
        figure.value - randomised.value, figure.low - randomised.value, figure.high - randomised.value, figure.n
    )
    return NullCheck(figure=figure, null=randomised, difference=difference, meaningless=meaningless)


def made_sanity(
    importance: Mapping[str, Mapping[str, NullCheck]] | None = None, purity: Mapping[str, NullCheck] | None = None
) -> SanityResult:
    """Sanity checks of both kinds with the same figures."""
    checks = importance or {target: dict.fromkeys(CONCEPTS, made_check()) for target in (OVERALL, *CLASSES)}
    return SanityResult(
        draws=10,
        importance_randomised_weights=checks,
        importance_permuted_labels=checks,
        purity_permuted_labels=purity or dict.fromkeys(CONCEPTS, made_check()),
    )


def made_stability(ranked: Sequence[str]) -> OrderStability:
    """The order of concepts over resamples, in which the first is mostly first."""
    return OrderStability(
        tau=FIGURE,
        resamples=1000,
        concepts={
            concept: RankStability(
                rank=Estimate(rank, max(rank - 1, 1), rank + 1, 100), first=0.9 if rank == 1 else 0.02, same=0.8
            )
            for rank, concept in enumerate(ranked, start=1)
        },
    )


def made_example(concept: str, number: int = 0, *, marking: Polarity | None = Polarity.PRESENT) -> AxisExample:
    """A test image that activates the concept's axis; its picture is written by `write_run`."""
    return AxisExample(
        image_id=f"{concept}_{number}",
        activation=3.2 - 0.1 * number,
        percentile=100 - 0.2 * number,
        marking=marking,
        diagnosis=CLASSES[number % 2],
        picture=f"exemplars/{concept}-{number + 1}.jpg",
    )


def made_cases() -> CasesResult:
    """Figures over forty explained cases."""

    def flag(share: float) -> FlagRates:
        return FlagRates(
            share=Estimate(share, share / 2, share * 2, 40),
            right_where_raised=Estimate(0.5, 0.2, 0.8, 4),
            right_elsewhere=Estimate(0.8, 0.6, 0.9, 36),
        )

    return CasesResult(
        n=40,
        of=100,
        right=Estimate(0.75, 0.6, 0.9, 40),
        plausible_set_covers=Estimate(0.9, 0.8, 0.95, 40),
        abstain=flag(0.2),
        conflict=flag(0.3),
        out_of_scope=flag(0.1),
    )


def made_explanation(
    ratios: Mapping[str, Mapping[str, Estimate | float]] | None = None, **changes: object
) -> Explanation:
    """An explanation with these ratios by target and concept; by default streaks matter more than veil."""
    by_target = ratios or {target: {"streaks": 1.4, "veil": 1.2} for target in (OVERALL, *CLASSES)}
    importance = {target: made_importance(row) for target, row in by_target.items()}
    fields = {
        "importance": importance,
        "permutations": 20,
        "stability": {target: made_stability(list(result.ranked)) for target, result in importance.items()},
        "exemplars": {concept: (made_example(concept),) for concept in next(iter(by_target.values()))},
        "cases": made_cases(),
        "failures": FailuresResult(
            wrong=Estimate(0.2, 0.15, 0.25, 100),
            confident=0.8,
            wrong_where_confident=Estimate(0.1, 0.05, 0.2, 60),
            gallery=(),
        ),
        "shortcuts": ShortcutAudit(artefacts={}, named=(), level=0.05, fewest=10),
    }
    return Explanation.model_validate(fields | changes)


def made_record(**changes: object) -> RunRecord:
    """The record of a finished run."""
    fields = {
        "id": "made-20260101-093000",
        "started": "2026-01-01T09:30:00+00:00",
        "finished": "2026-01-01T09:40:00+00:00",
        "seed": 3,
        "commit": "d34db33f",
        "command": "dermaxis run configs/made.yaml",
        "versions": {"python": "3.11.9", "torch": "2.10.0"},
        "machine": Machine(platform="Linux", processors=2),
        "digests": Digests(data="a" * 64, split="b" * 64, release="c" * 64),
        "best_epoch": {"plain": 2, "whitened": 1},
    }
    return RunRecord.model_validate(fields | changes)


def made_release(names: Mapping[str, str] | None = None, *, origin: Origin = Origin.PLANTED) -> Release:
    """A release of these concepts, each shown by one image."""
    concepts = names or {concept: concept for concept in CONCEPTS}
    return freeze(
        "made",
        1,
        concepts=[
            ConceptEntry(id=concept, name=name, definition=f"What {concept} is.", origin=origin)
            for concept, name in concepts.items()
        ],
        examples=[
            Example(
                image_id="image",
                image_digest=sha256(b"image").hexdigest(),
                concept=concept,
                polarity=Polarity.PRESENT,
                provenance="hand-made",
            )
            for concept in concepts
        ],
        description="Concepts made by hand.",
        licence="CC-0",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def made_results(
    evaluation: Evaluation | None = None,
    explanation: Explanation | None = None,
    *,
    record: RunRecord | None = None,
    release: Release | None = None,
    settings: RunSettings | None = None,
) -> RunResults:
    """All that a run says; what is not given is made by hand."""
    return RunResults(
        record=record or made_record(),
        settings=settings or parse_overrides(["name=made", "seed=3"]),
        release=release or made_release(),
        evaluation=evaluation or made_evaluation(),
        explanation=explanation or made_explanation(),
    )


def write_run(folder: Path, results: RunResults | None = None) -> RunFolder:
    """Write results as a run folder, each picture a grey square."""
    results = results or made_results()
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    run.write_text("settings.yaml", dump_settings(results.settings))
    write_release(results.release, run.file("release.json"))
    for result in (results.record, results.evaluation, results.explanation):
        run.write(result)
    pictures = [example.picture for row in results.explanation.exemplars.values() for example in row]
    for picture in (*pictures, *(failure.picture for failure in results.explanation.failures.gallery)):
        run.file(picture).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (128, 128, 128)).save(run.file(picture))
    return run


def made_run(folder: Path) -> RunFolder:
    """A run folder with a record and nothing trained yet, as `create_run` leaves it."""
    folder.mkdir(exist_ok=True)
    run = RunFolder(folder)
    run.write(made_record(history={}, best_epoch={}, seconds={}, insertion_change=None))
    return run
