import numpy as np
import pytest
from scipy.stats import spearmanr

from concepts.statistics.bootstrap import group_weights
from pipeline.explanation.discovery.relations import holm, relations
from pipeline.explanation.discovery.traits import Trait
from pipeline.results.discovery import TraitKind

N = 120


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def weights(generator):
    return group_weights([str(row // 2) for row in range(N)], resamples=400, generator=generator)


def trait(name: str, values) -> Trait:
    return Trait(name, TraitKind.METADATA, np.asarray(values, dtype=np.float64))


def test_the_correlation_is_spearmans_and_what_is_unknown_is_left_out(generator, weights):
    axis = generator.normal(size=N)
    values = np.round(axis + generator.normal(size=N), 1)
    values[:7] = np.nan
    (relation,) = relations(axis[:, None], [trait("age", values)], weights)[0]
    assert relation.correlation.value == pytest.approx(spearmanr(axis[7:], values[7:]).statistic, abs=1e-9)
    assert relation.correlation.low < relation.correlation.value < relation.correlation.high
    assert relation.correlation.n == N - 7
    assert relation.beyond_chance


def test_a_planted_relation_stands_out_among_noise(generator, weights):
    axes = generator.normal(size=(N, 3))
    noise = [trait(f"noise {number}", generator.normal(size=N)) for number in range(20)]
    planted = trait("hair", (axes[:, 1] + generator.normal(size=N) > 0).astype(float))
    listed = relations(axes, [*noise, planted], weights)
    assert listed[1][0].trait == "hair"
    beyond = [(axis, each.trait) for axis, row in enumerate(listed) for each in row if each.beyond_chance]
    assert beyond == [(1, "hair")]


def test_traits_that_say_too_little_are_not_compared(generator, weights):
    rare = np.zeros(N)
    rare[:9] = 1
    few = np.full(N, np.nan)
    few[:12] = generator.normal(size=12)
    traits = [
        trait("rare", rare),
        trait("few", few),
        trait("constant", np.ones(N)),
        trait("unknown", np.full(N, np.nan)),
    ]
    assert relations(generator.normal(size=(N, 2)), traits, weights) == [[], []]


def test_holm_on_its_textbook_example():
    assert holm([0.01, 0.04, 0.03, 0.005], level=0.05) == [True, False, False, True]
    assert holm([float("nan"), 0.001], level=0.05) == [False, True]
    assert holm([], level=0.05) == []


def test_holm_keeps_its_level_where_nothing_is_there(generator):
    wrong = sum(any(holm(generator.uniform(size=30), level=0.05)) for _ in range(400))
    assert wrong / 400 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
