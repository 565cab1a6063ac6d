import numpy as np
import pytest
from scipy.stats import spearmanr

from concepts.statistics.bootstrap import group_weights
from pipeline.explanation.discovery.relations import Trait, TraitKind, holm, relations

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
    (found,) = relations(axis[:, None], [trait("age", values)], weights)[0]
    assert found.correlation.value == pytest.approx(spearmanr(axis[7:], values[7:]).statistic, abs=1e-9)
    assert found.correlation.low < found.correlation.value < found.correlation.high
    assert found.correlation.n == N - 7
    assert found.beyond_chance


def test_a_planted_relation_stands_out_among_noise(generator, weights):
    axes = generator.normal(size=(N, 3))
    noise = [trait(f"noise {number}", generator.normal(size=N)) for number in range(20)]
    planted = trait("hair", (axes[:, 1] + generator.normal(size=N) > 0).astype(float))
    found = relations(axes, [*noise, planted], weights)
    assert found[1][0].trait == "hair"
    assert [(row, one.trait) for row, some in enumerate(found) for one in some if one.beyond_chance] == [(1, "hair")]


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
