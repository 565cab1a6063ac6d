import json

import numpy as np
import pytest

from concepts.curation.set_agreement import SetAgreement, concept_agreement
from concepts.errors import DataError
from concepts.example import Origin
from concepts.judgement import Judgement, Kind, Verdict
from concepts.statistics.agreement import Measure, coefficient
from concepts.statistics.bootstrap import bootstrap, interval_estimate
from concepts.statistics.ratings import Ratings

VERDICTS = (Verdict.ABSENT, Verdict.PRESENT, Verdict.UNCERTAIN, Verdict.NOT_ASSESSABLE)


def judgements(concept: str, table: np.ndarray, **fields: object) -> list[Judgement]:
    """From a table of images x readers: 0 absent, 1 present, 2 uncertain, 3 not assessable, NaN not judged."""
    return [
        Judgement(
            reader=f"r{column}",
            image_id=f"i{row:03}",
            concept=concept,
            verdict=VERDICTS[int(table[row, column])],
            **fields,
        )
        for row, column in np.argwhere(~np.isnan(table)).tolist()
    ]


def noisy(images: int, readers: int, wrong: float, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    truth = draw.integers(2, size=(images, 1))
    return np.where(draw.random((images, readers)) < wrong, 1 - truth, truth).astype(float)


def measured(given: list[Judgement], **fields: object) -> SetAgreement:
    return concept_agreement(given, generator=np.random.default_rng(0), **{"resamples": 200, **fields})


def test_each_figure_is_that_of_its_matrix():
    table = noisy(80, 3, 0.15)
    table[::7, 1] = np.nan
    (row,) = measured(judgements("streaks", table)).concepts
    ratings = Ratings(np.where(np.isnan(table), -1, np.nan_to_num(table)).astype(int), categories=2)
    assert set(row.figures) == set(Measure)
    for measure, figure in row.figures.items():
        statistic = coefficient(measure, ratings)
        figures = bootstrap(
            lambda weights, of=statistic: of(weights)[:, None], 80, generator=np.random.default_rng(0), resamples=200
        )
        alone = interval_estimate(figures[:, 0], ratings.compared)
        assert figure.value == pytest.approx(alone.value, abs=1e-12)
        assert (figure.low, figure.high, figure.n) == pytest.approx((alone.low, alone.high, alone.n), abs=1e-12)
    assert (row.readers, row.images, row.undecided) == (3, 80, 0)


def test_uncertain_and_not_assessable_are_counted_apart():
    table = np.array([[0, 0], [1, 1], [2, 1], [1, 3], [0, 1]], dtype=float)
    without, with_uncertain = (measured(judgements("hair", table), uncertain_counts=counts) for counts in (False, True))
    assert without.concepts[0].undecided == with_uncertain.concepts[0].undecided == 2
    assert without.concepts[0].figures[Measure.PERCENT].value == pytest.approx(2 / 3)
    assert with_uncertain.concepts[0].figures[Measure.PERCENT].value == pytest.approx(2 / 4)


def test_only_ordinary_first_readings_are_compared():
    table = noisy(30, 2, 0.1)
    first = judgements("hair", table)
    others = [
        *judgements("hair", 1 - table, reading=2),
        *judgements("hair", 1 - table, kind=Kind.ADJUDICATION),
        *judgements("hair", 1 - table, kind=Kind.FIRST_LOOK),
        *judgements("hair", 1 - table, origin=Origin.MEASURED),
    ]
    assert measured(first + others) == measured(first)


def test_a_concept_in_dispute_is_flagged():
    agreement = measured(
        judgements("clear", noisy(60, 3, 0.03)) + judgements("disputed", noisy(60, 3, 0.4)), threshold=0.6
    )
    assert agreement.flagged == ("disputed",)
    flag = agreement.concepts[1].flag
    assert flag is not None
    assert flag.startswith("Krippendorff's alpha is ")
    assert flag.endswith(" on 60 images, below 0.60")


def test_agreement_that_is_not_known_is_flagged():
    alone = measured(judgements("hair", np.array([[0.0], [1.0]])), concepts=["hair", "ruler"])
    assert [row.flag for row in alone.concepts] == [
        "no image has verdicts of two readers, so agreement is not known"
    ] * 2
    same = measured(judgements("hair", np.ones((5, 2))))
    assert same.concepts[0].flag == "Krippendorff's alpha is not defined on 5 images: all verdicts are the same"
    assert measured(judgements("hair", np.ones((5, 2))), measure=Measure.GWET_AC1).flagged == ()


def test_the_mean_is_over_defined_concepts_and_paired():
    table = noisy(60, 3, 0.15)
    alone = measured(judgements("a", table))
    twice = measured(judgements("a", table) + judgements("b", table) + judgements("c", np.ones((60, 3))))
    alpha = Measure.KRIPPENDORFF
    assert twice.mean[alpha].value == pytest.approx(alone.concepts[0].figures[alpha].value, abs=1e-12)
    assert twice.mean[alpha].low == pytest.approx(alone.mean[alpha].low, abs=1e-12)
    assert twice.mean[Measure.PERCENT].value > alone.mean[Measure.PERCENT].value
    assert twice.mean[alpha].n == 60


def test_a_mean_counts_the_images_that_any_concept_compares():
    first, second = np.array([[1.0, 1], [0, 0], [1, np.nan]]), np.array([[1.0, np.nan], [0, 1], [1, 1]])
    agreement = measured(judgements("a", first) + judgements("b", second))
    assert [row.figures[Measure.PERCENT].n for row in agreement.concepts] == [2, 2]
    assert agreement.mean[Measure.PERCENT].n == 3
    assert agreement.mean[Measure.PERCENT].value == pytest.approx((1 + 0.5) / 2)


def test_a_coefficient_at_the_threshold_is_no_dispute():
    table = np.array([[1.0, 1], [0, 0], [1, 0], [0, 0]])
    share = {"measure": Measure.PERCENT}
    assert measured(judgements("hair", table), threshold=0.75, **share).flagged == ()
    assert measured(judgements("hair", table), threshold=0.76, **share).flagged == ("hair",)


def test_nothing_judged_gives_an_empty_table():
    nothing = measured([])
    assert nothing.concepts == ()
    assert np.isnan(nothing.mean[Measure.FLEISS].value)
    assert nothing.mean[Measure.FLEISS].n == 0


def test_the_order_of_judgements_does_not_matter():
    given = judgements("b", noisy(20, 2, 0.2)) + judgements("a", noisy(20, 3, 0.2, seed=1))
    assert measured(given) == measured(given[::-1])
    assert [row.concept for row in measured(given).concepts] == ["a", "b"]


def test_two_verdicts_of_one_reader_are_refused():
    table = np.array([[1.0]])
    with pytest.raises(DataError, match="image i000, concept hair: two current verdicts of r0"):
        measured(judgements("hair", table) + judgements("hair", 1 - table))


def test_the_table_is_json():
    agreement = measured(judgements("hair", noisy(20, 2, 0.2)) + judgements("ruler", np.array([[1.0]])))
    content = json.loads(json.dumps(agreement.to_json(), allow_nan=False))
    assert content["measure"] == "krippendorff_alpha"
    assert [row["concept"] for row in content["concepts"]] == ["hair", "ruler"]
    assert content["concepts"][1]["figures"]["cohen_kappa"]["value"] is None
