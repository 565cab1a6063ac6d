"""The evaluation of a run, made by hand: valid, small, with figures to recognise."""

from collections.abc import Mapping, Sequence
from math import nan

from concepts.statistics.estimate import Estimate
from pipeline.results.axes import AucMatrix, AxesResult, AxisBaselines, AxisPurity, ConceptSimilarity, MeanPurity
from pipeline.results.evaluation import (
    CohortResult,
    DiagnosisResult,
    Evaluation,
    NetworkResult,
    PartCounts,
    Residual,
    WhiteningResult,
)
from pipeline.results.trust import ConceptOnlyResult, Subgroup, SubgroupsResult

FIGURE = Estimate(0.8, 0.75, 0.86, 100)
UNKNOWN = Estimate(nan, nan, nan, 12)
NO_DIFFERENCE = Estimate(0.0, -0.01, 0.01, 100)
SUBGROUP_DIFFERENCE = Estimate(0.01, -0.05, 0.07, 100)


def made_network(macro: Estimate = FIGURE, *, classes: Sequence[str] = ("melanoma", "nevus")) -> NetworkResult:
    """A network with the same figure everywhere but for its macro AUC."""
    by_class = dict.fromkeys(classes, FIGURE)
    return NetworkResult(
        auc={"macro": macro, **by_class},
        balanced_accuracy=FIGURE,
        sensitivity_at_specificity_80=by_class,
        sensitivity_at_specificity_90=by_class,
        ece=FIGURE,
    )


def made_purity(figure: Estimate = FIGURE, *, activation: str = "max", reason: str | None = None) -> AxisPurity:
    """A concept's axis with this AUC."""
    return AxisPurity(
        axis_auc={activation: figure},
        baselines=AxisBaselines(probe=Estimate(0.86, 0.82, 0.89, 100), best_filter=Estimate(0.71, 0.66, 0.75, 100)),
        positives=30,
        negatives=70,
        train_positives=120,
        reason=reason,
    )


def made_subgroup(
    images: int = 100, *, difference: Estimate = SUBGROUP_DIFFERENCE, reason: str | None = None
) -> Subgroup:
    """A subgroup with this difference from all others, or none for a reason."""
    return Subgroup(
        images=images,
        groups=images // 2,
        diagnoses={"melanoma": images // 2, "nevus": images - images // 2},
        auc={"macro": UNKNOWN if reason else FIGURE},
        balanced_accuracy=UNKNOWN if reason else FIGURE,
        difference=UNKNOWN if reason else difference,
        reason=reason,
    )


def made_evaluation(
    purity: Mapping[str, AxisPurity] | None = None,
    *,
    plain: Estimate = FIGURE,
    whitened: Estimate = FIGURE,
    difference: Estimate = NO_DIFFERENCE,
    activation: str = "max",
    **changes: object,
) -> Evaluation:
    """An evaluation of two diagnoses, and of two concepts unless others are given."""
    axes = purity if purity is not None else {name: made_purity(activation=activation) for name in ("streaks", "veil")}
    names = tuple(axes)
    fields = {
        "classes": ("melanoma", "nevus"),
        "cohort": CohortResult(
            source="phantom",
            parts={
                part: PartCounts(images=images, groups=images // 2, diagnoses={"melanoma": 10, "nevus": images - 10})
                for part, images in (("train", 300), ("validation", 60), ("test", 100))
            },
            grouped_by={"patient": 400, "lesion": 0, "near-duplicate": 20, "none": 40},
        ),
        "diagnosis": DiagnosisResult(
            plain=made_network(plain), whitened=made_network(whitened), auxiliary=None, difference=difference
        ),
        "axes": AxesResult(
            purity=axes,
            mean=MeanPurity(axis_auc={activation: FIGURE}, baselines=AxisBaselines(probe=FIGURE, best_filter=FIGURE)),
            matrix=AucMatrix(concepts=names, auc=tuple(tuple(0.8 if a == b else 0.5 for b in names) for a in names)),
            similarity=ConceptSimilarity(
                intra=dict.fromkeys(names, FIGURE), inter={a: dict.fromkeys(names, 0.1) for a in names}
            ),
            subspaces={},
        ),
        "subgroups": SubgroupsResult(subgroups={}, unknown={"sex": 100}, fewest=30),
        "concept_only": ConceptOnlyResult(images=0, left_out=460),
        "whitening": WhiteningResult(
            layer="layer2",
            placement="insert",
            activation=activation,
            channels=64,
            insertion_change=nan,
            residual=Residual(train=Estimate(0.002, 0.001, 0.003, 300), test=Estimate(0.08, 0.07, 0.09, 100)),
        ),
    }
    return Evaluation.model_validate(fields | changes)
