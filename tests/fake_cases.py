"""Explained cases, made by hand: valid, small, each value told apart from the others."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.release import Release, freeze
from concepts.statistics.estimate import Estimate
from pipeline.explanation.cases.calibration import Calibration
from pipeline.explanation.cases.concept_states import Thresholds
from pipeline.explanation.cases.reference import AxisReference, Reference
from pipeline.explanation.cases.scope import Scope
from pipeline.results.case import (
    CaseContent,
    ConceptContent,
    ConceptOnlyContent,
    ConceptState,
    ContributionContent,
    DiagnosisContent,
    EvidenceContent,
    NeighbourContent,
    ScopeContent,
    StageContent,
)

CLASSES = ("melanoma", "nevus")
AUC = Estimate(0.9, 0.85, 0.94, 120)


def made_shares(share: float = 0.75, *, classes: Sequence[str] = CLASSES) -> dict[str, ContributionContent]:
    """Contributions to each diagnosis: for the first, against the others."""
    return {
        diagnosis: ContributionContent(share=share if row == 0 else -share, error=0.0, alone=share / 2)
        for row, diagnosis in enumerate(classes)
    }


def made_concept(
    concept: str = "streaks",
    state: ConceptState = ConceptState.PRESENT,
    *,
    label: bool | None = None,
    stages: Mapping[str, ConceptState] | None = None,
    shares: Mapping[str, ContributionContent] | None = None,
    **changes: object,
) -> ConceptContent:
    """A concept with an axis that can be assessed, and a map of 2 x 2 cells."""
    content = ConceptContent(
        concept=concept,
        name=concept.replace("_", " "),
        activation=1.5,
        percentile=88.0,
        state=state,
        label=label,
        auc=AUC,
        positives=40,
        reason=None,
        agreement=None,
        contributions=dict(shares or made_shares()),
        evidence=EvidenceContent(
            height=2, width=2, low=-1.0, high=2.5, cells=base64.b64encode(bytes([0, 85, 170, 255])).decode()
        ),
        stages=tuple(
            StageContent(layer=layer, activation=0.5, percentile=60.0, state=stage)
            for layer, stage in (stages or {}).items()
        ),
    )
    return content.model_copy(update=changes)


def made_case(
    image_id: str = "lesion_a",
    call: str = "melanoma",
    reference: str | None = "melanoma",
    *,
    plausible: Sequence[str] = (),
    conflict: bool = False,
    out_of_scope: bool = False,
    concepts: Sequence[ConceptContent] | None = None,
    classes: Sequence[str] = CLASSES,
    **changes: object,
) -> CaseContent:
    """A case whose call has 72 %; what is plausible besides it is named."""
    others = [diagnosis for diagnosis in classes if diagnosis != call]
    content = CaseContent(
        image_id=image_id,
        digest="cd" * 32,
        run="small-20260101-000000",
        release="ab" * 32,
        part="test",
        reference=reference,
        picture=None,
        call=call,
        abstain=bool(plausible),
        differential=tuple(
            DiagnosisContent(
                diagnosis=diagnosis,
                probability=0.72 if diagnosis == call else 0.28 / len(others),
                plausible=diagnosis == call or diagnosis in plausible,
                baseline=-0.5,
                outcome=1.0,
            )
            for diagnosis in (call, *others)
        ),
        scope=ScopeContent(distance=1.1, percentile=60.0, out_of_scope=out_of_scope),
        quality=(),
        concepts=tuple(concepts) if concepts is not None else (made_concept(),),
        free=made_shares(0.25, classes=classes),
        concept_only=ConceptOnlyContent(diagnosis=others[0], probability=0.66, conflict=conflict),
        flip=None,
        supporting=(NeighbourContent(image_id="lesion_b", diagnosis=call, shows=("streaks",), distance=0.4),),
        opposing=(NeighbourContent(image_id="lesion_c", diagnosis=others[0], shows=(), distance=1.6),),
    )
    return content.model_copy(update=changes)


def made_release(
    polarities: Mapping[tuple[str, str], Polarity],
    concepts: Sequence[str] = ("streaks", "globules"),
    *,
    digests: Mapping[str, str] | None = None,
    **judged: object,
) -> Release:
    """A release that says these things of images, by concept and image."""
    return freeze(
        "derm",
        1,
        concepts=[
            ConceptEntry(id=concept, name=f"the {concept}", definition="Made up.", origin=Origin.PLANTED)
            for concept in concepts
        ],
        examples=[
            Example(
                image_id=image_id,
                image_digest=(digests or {}).get(image_id, "0" * 64),
                concept=concept,
                polarity=polarity,
                provenance="made by hand",
            )
            for (concept, image_id), polarity in polarities.items()
        ],
        created=datetime(2026, 1, 1, tzinfo=UTC),
        **judged,
    )


def made_axis(concept: str = "streaks", **more: object) -> AxisReference:
    """An axis that is present above 1 and absent below -1; its validation activations are -2, -1, 0, 1 and 2."""
    thresholds = Thresholds(absent_below=-1.0, present_above=1.0, positives=20, negatives=20)
    fields = {"name": f"the {concept}", "thresholds": thresholds, "activations": (-2.0, -1.0, 0.0, 1.0, 2.0)}
    return AxisReference(concept=concept, **(fields | more))


def made_reference(axes: Sequence[AxisReference], channels: int, **changes: object) -> Reference:
    """A reference of two diagnoses, whose training images lie about 0 with a variance of 1 along every axis."""
    fields = {
        "classes": CLASSES,
        "axes": tuple(axes),
        "calibration": Calibration(temperature=2.0, threshold=0.3, n=40),
        "scope": Scope(
            mean=(0.0,) * channels, directions=((1.0,) + (0.0,) * (channels - 1),), variances=(1.0,), rest=1.0
        ),
        "distances": tuple(0.02 * rank for rank in range(1, 101)),
        "quality": {},
        "concept_only": None,
        "examples": (),
        "release": "ab" * 32,
    }
    return Reference(**(fields | changes))
