"""One case explained: every part of it is computed from the image and read against its own part of the reference."""

import base64

import numpy as np
import pytest
import torch
from fake_cases import AUC, made_axis, made_reference
from fake_networks import made_maps

from pipeline.choices import Activation
from pipeline.explanation.cases.case import EXTREME, NEIGHBOURS, CaseInput, explain_case, switched_off
from pipeline.explanation.cases.reference import ConceptOnly, ExampleReference, StageReference
from pipeline.images.measures.quality import MEASURES, THRESHOLDS, Quality
from pipeline.results.case import ConceptState

CONCEPTS = ("streaks", "globules")
WEIGHTS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, 0.0]])


def tail(maps, rest=()):
    means = maps.mean(dim=(2, 3)) if maps.ndim == 4 else maps
    return means @ WEIGHTS.T + sum(skip for skip in rest)


def quality(**measures):
    return Quality(**(dict.fromkeys(MEASURES, 0.0) | measures))


def reference_of(**changes):
    return made_reference([made_axis(concept) for concept in CONCEPTS], 3, **changes)


def case_of(means=(1.5, -0.5, 1.0), *, reference=None, maps=None, rest=(), activation=Activation.MEAN, **more):
    maps = made_maps([means])[0] if maps is None else maps
    fields = {"image_id": "lesion_a", "digest": "cd" * 32, "quality": quality()} | more
    entry = CaseInput(maps=maps, rest=rest, logits=tail(maps[None], rest)[0].double().numpy(), **fields)
    return explain_case(
        entry,
        reference or reference_of(),
        tail,
        activation=activation,
        run_id="small",
        generator=np.random.default_rng(0),
    )


def test_the_differential_is_calibrated_and_most_probable_first():
    case = case_of()
    odds = np.exp(np.array([4.0, -0.5]) / 2.0)
    assert [entry.diagnosis for entry in case.differential] == ["melanoma", "nevus"]
    assert [entry.probability for entry in case.differential] == pytest.approx((odds / odds.sum()).tolist())
    assert [entry.plausible for entry in case.differential] == [True, False]
    assert [entry.outcome for entry in case.differential] == pytest.approx([4.5, -4.5])
    assert [entry.baseline for entry in case.differential] == pytest.approx([0, 0])
    assert (case.call, case.abstain) == ("melanoma", False)
    other = case_of((-1.5, 0.5, 0.0))
    assert [entry.diagnosis for entry in other.differential] == ["nevus", "melanoma"]
    assert other.call == "nevus"
    assert other.differential[0].outcome == pytest.approx(4.0)


def test_more_than_one_plausible_diagnosis_is_an_abstention():
    case = case_of((0.1, 0.0, 0.0))
    assert [entry.plausible for entry in case.differential] == [True, True]
    assert case.abstain
    assert case.call == "melanoma"


def test_contributions_are_of_each_axis_to_each_diagnosis():
    streaks, globules = case_of().concepts
    assert streaks.contributions["melanoma"].share == pytest.approx(3.0)
    assert streaks.contributions["nevus"].share == pytest.approx(-3.0)
    assert globules.contributions["melanoma"].share == pytest.approx(1.0)
    assert case_of().free["melanoma"].share == pytest.approx(0.5)
    assert case_of().free["nevus"].alone == pytest.approx(-0.5)
    assert {share.error for share in streaks.contributions.values()} == {0.0}


def test_a_concept_that_is_as_where_it_is_absent_contributes_nothing():
    axes = [made_axis("streaks", absent=(1.5,) * 4), made_axis("globules")]
    case = case_of(reference=made_reference(axes, 3))
    assert case.concepts[0].contributions["melanoma"].share == pytest.approx(0)
    assert case.concepts[1].contributions["melanoma"].share == pytest.approx(1)
    assert case.differential[0].baseline == pytest.approx(3)


def test_axes_are_switched_off_to_their_map_in_images_without_the_concept():
    reference = made_reference([made_axis("streaks", absent=(1.0, 2.0, 3.0, 4.0)), made_axis("globules")], 3)
    off = switched_off(torch.ones(3, 2, 2), reference)
    assert off.tolist() == [[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]
    flat = made_reference([made_axis("streaks"), made_axis("globules", absent=(2.0,))], 3)
    assert switched_off(torch.ones(3), flat).tolist() == [0, 2, 0]


def test_the_rest_of_the_tail_s_input_reaches_the_tail():
    case = case_of(rest=(torch.tensor([[3.0, 0.0]]),))
    assert case.differential[0].outcome == pytest.approx(7.5)
    assert case.differential[0].baseline == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("activation", "state", "percentile"),
    [
        (1.5, ConceptState.PRESENT, 80),
        (1.0, ConceptState.UNCERTAIN, 80),
        (0.5, ConceptState.UNCERTAIN, 60),
        (-1.0, ConceptState.UNCERTAIN, 40),
        (-1.5, ConceptState.ABSENT, 20),
        (-3.0, ConceptState.ABSENT, 0),
    ],
)
def test_an_activation_has_a_state_and_a_percentile(activation, state, percentile):
    streaks, globules = case_of((activation, 0.0, 9.0)).concepts
    assert (streaks.activation, streaks.state, streaks.percentile) == (activation, state, percentile)
    assert (globules.activation, globules.percentile) == (0, 60)


def test_activations_are_pooled_as_the_run_does():
    maps = torch.zeros(3, 2, 2)
    maps[0, 0, 0] = 2.0
    assert case_of(maps=maps, activation=Activation.MEAN).concepts[0].activation == 0.5
    assert case_of(maps=maps, activation=Activation.MAX).concepts[0].activation == 2.0


def test_what_is_known_of_the_axis_and_the_image_is_passed_on():
    axes = [made_axis("streaks", auc=AUC, positives=31, agreement=AUC), made_axis("globules", reason="too few")]
    case = case_of(reference=made_reference(axes, 3), labels=(1.0, float("nan")), part="test", picture="cases/a.jpg")
    streaks, globules = case.concepts
    assert (streaks.name, streaks.auc, streaks.positives, streaks.reason) == ("the streaks", AUC, 31, None)
    assert (streaks.agreement, globules.agreement) == (AUC, None)
    assert (globules.auc, globules.reason) == (None, "too few")
    assert (streaks.label, globules.label) == (True, None)
    assert case_of(labels=(0.0, 1.0)).concepts[0].label is False
    assert [concept.label for concept in case_of().concepts] == [None, None]
    assert (case.part, case.picture, case.run, case.release) == ("test", "cases/a.jpg", "small", "ab" * 32)
    assert (case.image_id, case.digest) == ("lesion_a", "cd" * 32)
    assert case_of(reference=reference_of(release="ef" * 32)).release == "ef" * 32


def test_a_case_is_wrong_where_its_reference_is_another():
    assert case_of().wrong is None
    entry = {"image_id": "lesion_b", "digest": "cd" * 32}
    for diagnosis, wrong in (("melanoma", False), ("nevus", True)):
        maps = made_maps([(1.5, -0.5, 1.0)])[0]
        logits = tail(maps[None])[0].double().numpy()
        case = CaseInput(maps=maps, rest=(), logits=logits, quality=quality(), reference=diagnosis, **entry)
        content = explain_case(
            case, reference_of(), tail, activation=Activation.MEAN, run_id="", generator=np.random.default_rng(0)
        )
        assert (content.reference, content.wrong) == (diagnosis, wrong)


def test_each_layer_is_read_against_its_own_reference():
    stages = tuple(
        StageReference(layer=layer, thresholds=made_axis().thresholds, activations=activations)
        for layer, activations in (("low", (0.0, 1.0)), ("high", (0.0, 1.0, 2.0, 3.0)))
    )
    reference = made_reference([made_axis(concept, stages=stages) for concept in CONCEPTS], 3)
    case = case_of(reference=reference, by_layer={"high": [1.5, -2.0], "low": [0.0, 0.5]})
    low, high = case.concepts[0].stages
    assert (low.layer, low.activation, low.percentile, low.state) == ("low", 0.0, 50, ConceptState.UNCERTAIN)
    assert (high.layer, high.activation, high.percentile, high.state) == ("high", 1.5, 50, ConceptState.PRESENT)
    assert case.concepts[1].stages[1].state is ConceptState.ABSENT
    assert case_of(reference=reference).concepts[0].stages == ()


def test_an_evidence_map_is_stored_to_within_a_byte():
    maps = torch.zeros(3, 2, 3)
    maps[0] = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.1]])
    evidence = case_of(maps=maps).concepts[0].evidence
    assert (evidence.height, evidence.width, evidence.averaged_over) == (2, 3, 1)
    assert (evidence.low, evidence.high) == (0, pytest.approx(5.1))
    cells = np.frombuffer(base64.b64decode(evidence.cells), dtype=np.uint8)
    assert cells.tolist() == [0, 50, 100, 150, 200, 255]
    even = case_of(maps=maps).concepts[1].evidence
    assert set(base64.b64decode(even.cells)) == {0}
    wide = made_reference([made_axis("streaks", evidence_width=3), made_axis("globules")], 3)
    smooth = case_of(maps=maps, reference=wide).concepts[0].evidence
    assert smooth.averaged_over == 3
    assert smooth.high == pytest.approx((1 + 2 + 4 + 5.1) / 4)


def test_a_layer_without_positions_has_no_evidence():
    case = case_of(maps=torch.tensor([1.5, -0.5, 1.0]))
    assert [concept.evidence for concept in case.concepts] == [None, None]
    assert case.concepts[0].contributions["melanoma"].share == pytest.approx(3.0)
    assert case.scope.distance == pytest.approx((1.5**2 + 0.5**2 + 1) / 3)


@pytest.mark.parametrize(
    ("distance", "percentile", "out_of_scope"),
    [(0.01, 0, False), (0.5, 25, False), (1.981, 99, False), (2.01, 100, True)],
)
def test_an_image_is_out_of_scope_beyond_99_percent_of_the_validation_images(distance, percentile, out_of_scope):
    scope = case_of((np.sqrt(3 * distance), 0, 0)).scope
    assert scope.distance == pytest.approx(distance, rel=1e-4)
    assert (scope.percentile, scope.out_of_scope) == (percentile, out_of_scope)
    unknown = case_of((9.0, 0, 0), reference=reference_of(distances=())).scope
    assert (unknown.percentile, unknown.out_of_scope) == (None, False)


def measured(value, among, measure="sharpness"):
    case = case_of(reference=reference_of(quality={measure: tuple(among)}), quality=quality(**{measure: value}))
    return next(entry for entry in case.quality if entry.measure == measure)


def test_a_measurement_is_unusual_outside_the_middle_95_percent():
    among = np.arange(1.0, 1001)
    assert EXTREME == 2.5
    for value, unusual in ((24.0, True), (25.0, False), (500.0, False), (976.0, False), (977.0, True)):
        assert measured(value, among).unusual is unusual, value
    assert measured(500.0, among).percentile == 50


def test_the_commonest_value_is_never_unusual():
    assert not measured(0.0, [0.0] * 99 + [1.0]).unusual
    assert measured(1.0, [0.0] * 99 + [1.0]).unusual
    alone = measured(1.0, [])
    assert (alone.percentile, alone.unusual) == (None, False)


def test_an_artefact_has_a_threshold_of_its_own():
    threshold = THRESHOLDS["ink"]
    assert measured(threshold, [1.0] * 100, "ink").unusual
    assert not measured(threshold / 2, [0.0] * 100, "ink").unusual
    assert [entry.measure for entry in case_of().quality] == list(MEASURES)


def concept_only(threshold):
    return ConceptOnly(
        mean=(0.5, 0.0),
        scale=(2.0, 1.0),
        weights=((0.0, 0.0), (2.0, -1.0)),
        intercepts=(0.0, 0.3),
        threshold=threshold,
        n=40,
    )


def test_concepts_alone_conflict_where_they_make_the_call_implausible():
    case = case_of(reference=reference_of(concept_only=concept_only(0.3)))
    probability = 1 / (1 + np.exp(-(2 * (1.5 - 0.5) / 2 + 0.5 + 0.3)))
    assert case.concept_only.diagnosis == "nevus"
    assert case.concept_only.probability == pytest.approx(probability)
    assert 1 - probability < 0.3
    assert case.concept_only.conflict
    assert case.conflict
    plausible = case_of(reference=reference_of(concept_only=concept_only(0.1))).concept_only
    assert (plausible.diagnosis, plausible.conflict) == ("nevus", False)
    agreeing = case_of((-1.5, 2.0, 0.0), reference=reference_of(concept_only=concept_only(0.99))).concept_only
    assert agreeing.diagnosis == "melanoma"
    assert case_of().concept_only is None
    assert not case_of().conflict


def test_concepts_that_lead_to_the_call_never_conflict():
    case = case_of((1.5, -0.5, -20.0), reference=reference_of(concept_only=concept_only(0.99)))
    assert case.call == case.concept_only.diagnosis == "nevus"
    assert not case.conflict


def test_a_flip_names_its_shifts_the_largest_first():
    case = case_of((0.5, 0.0, 0.0))
    assert case.flip.diagnosis == "nevus"
    assert [shift.concept for shift in case.flip.shifts] == ["streaks", "globules"]
    assert [shift.shift for shift in case.flip.shifts] == pytest.approx([-0.25, 0.25], abs=0.01)
    assert case.flip.size == pytest.approx(np.hypot(0.25, 0.25), abs=0.01)
    assert case_of((40.0, 0.0, 0.0)).flip is None


def example(image_id, diagnosis, activations, shows=()):
    return ExampleReference(image_id=image_id, diagnosis=diagnosis, shows=shows, activations=activations)


def test_neighbours_are_the_nearest_examples_on_both_sides():
    spread = np.std([-2.0, -1, 0, 1, 2])
    near = [example(f"m{step}", "melanoma", (1.5 + step, -0.5), ("streaks",)) for step in (3, 1, 2, 4)]
    far = [example(f"n{step}", "nevus", (1.5, -0.5 - step)) for step in (2, 1)]
    case = case_of(reference=reference_of(examples=(*near, *far)))
    assert [neighbour.image_id for neighbour in case.supporting] == ["m1", "m2", "m3"]
    assert len(case.supporting) == NEIGHBOURS == 3
    assert [neighbour.image_id for neighbour in case.opposing] == ["n1", "n2"]
    assert [neighbour.distance for neighbour in case.opposing] == pytest.approx([1 / spread, 2 / spread])
    assert case.supporting[0].shows == ("streaks",)
    assert {neighbour.diagnosis for neighbour in case.supporting} == {"melanoma"}
    flipped = case_of((-1.5, 0.5, 0.0), reference=reference_of(examples=(*near, *far)))
    assert {neighbour.diagnosis for neighbour in flipped.supporting} == {"nevus"}


def test_an_axis_without_spread_counts_as_it_is():
    flat = [made_axis("streaks", activations=(1.0, 1.0)), made_axis("globules")]
    reference = made_reference(flat, 3, examples=(example("m", "melanoma", (3.5, -0.5)),))
    assert case_of(reference=reference).supporting[0].distance == pytest.approx(2.0)


def test_a_row_of_the_list_says_what_the_case_says():
    case = case_of(quality=quality(ink=1.0))
    row = case.row()
    assert row["unusual_picture"]
    assert row["call"] == "melanoma"
    assert row["probability"] == case.differential[0].probability
    assert (row["state_streaks"], row["state_globules"]) == ("present", "uncertain")
    assert (row["activation_streaks"], row["activation_globules"]) == (1.5, -0.5)
    assert not case_of().row()["unusual_picture"]
