"""Where an artefact lies in a layer: found where it was put, not found where it was not, gone when taken away."""

import numpy as np
import pytest
import torch

from concepts.errors import DataError
from pipeline.explanation.shortcuts.artefact_space import (
    ArtefactSpace,
    ContrastMoments,
    artefact_space,
    axis_space,
    contrast_weights,
    joined,
    permuted_inside,
    read_spaces,
    write_spaces,
)
from pipeline.run.folder import RunFolder

CHANNELS = 8
DEALS = 20


def put(labels, direction, strength, *, seed=0, side=5):
    """White maps, with a direction added at a few positions of the images that have the artefact."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(len(labels), CHANNELS, side, side, generator=generator, dtype=torch.float64)
    where = torch.rand(len(labels), 1, side, side, generator=generator) < 0.3
    signs = torch.sign(torch.randn(len(labels), 1, side, side, generator=generator, dtype=torch.float64))
    present = torch.from_numpy(labels == 1).view(-1, 1, 1, 1)
    return maps + strength * direction.view(1, -1, 1, 1) * signs * (where & present)


def fitted(maps, labels, strata, *, seed=0):
    generator = np.random.default_rng(seed)
    dealt = [permuted_inside(labels, strata, generator) for _ in range(DEALS)]
    moments = ContrastMoments(np.array([contrast_weights(each, strata) for each in (labels, *dealt)]), CHANNELS)
    for start in range(0, len(maps), 32):
        moments.add(maps[start : start + 32])
    return artefact_space(moments, 0, chance=range(1, DEALS + 1))


def cohort(count=240, seed=0):
    generator = np.random.default_rng(seed)
    strata = generator.integers(3, size=count)
    labels = (generator.random(count) < np.where(strata == 1, 0.8, 0.15)).astype(float)
    return labels, strata


def direction(*values):
    vector = torch.zeros(CHANNELS, dtype=torch.float64)
    vector[: len(values)] = torch.tensor(values, dtype=torch.float64)
    return vector / vector.norm()


def test_the_direction_that_was_put_in_is_found_without_a_mean_to_show_it():
    """Signs are random, so that means are the same with and without; only the energy differs."""
    labels, strata = cohort()
    planted = direction(1.0, -2.0, 0.5)
    space = fitted(put(labels, planted, 2.5), labels, strata)
    assert space.beyond_chance == space.rank >= 1
    assert abs(float(space.directions[0] @ planted)) >= 0.98


def test_labels_dealt_at_random_have_no_directions():
    labels, strata = cohort()
    maps = put(labels, direction(1.0), 2.5)
    generator = np.random.default_rng(9)
    spaces = [fitted(maps, permuted_inside(labels, strata, generator), strata, seed=seed) for seed in range(20)]
    # The largest of 21 alike is the first in one of 21.
    assert sum(space.beyond_chance > 0 for space in spaces) <= 5
    assert all(space.rank == max(space.beyond_chance, 1) for space in spaces)


def test_a_diagnosis_that_goes_with_the_artefact_is_not_taken_for_it():
    labels, strata = cohort(seed=3)
    of_diagnosis = direction(0.0, 0.0, 0.0, 1.0)
    maps = put((strata == 1).astype(float), of_diagnosis, 3.0)
    space = fitted(maps, labels, strata)
    assert space.beyond_chance == 0 or float((space.directions @ of_diagnosis).abs().max()) <= 0.5


def assert_gone(space: ArtefactSpace, maps: torch.Tensor):
    removed = space.removed(maps)
    along = torch.tensordot(space.directions, removed, dims=([1], [1]))
    reference = space.reference.view(-1, *[1] * (along.ndim - 1))
    assert torch.allclose(along, reference.expand_as(along), atol=1e-10)
    beside = torch.eye(CHANNELS, dtype=torch.float64) - space.directions.T @ space.directions
    assert torch.allclose(
        torch.tensordot(beside, removed - maps, dims=([1], [1])), torch.zeros(()).double(), atol=1e-10
    )
    assert torch.allclose(space.removed(removed), removed, atol=1e-10)


@pytest.mark.parametrize("shape", [(6, CHANNELS, 4, 4), (6, CHANNELS)])
def test_what_is_removed_is_at_its_reference_and_nothing_else_has_changed(shape):
    maps = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(CHANNELS, 3, generator=torch.Generator().manual_seed(2)).double())[0].T
    assert_gone(ArtefactSpace(basis, torch.tensor([0.5, -1.0, 0.0]).double(), torch.ones(3).double()), maps)


def test_a_transplant_gives_the_donors_part_and_keeps_the_rest():
    maps, donors = torch.randn(2, 5, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    space = axis_space(2, CHANNELS)
    given = space.transplanted(maps, donors)
    assert torch.allclose(given[:, 2], donors[:, 2])
    others = [axis for axis in range(CHANNELS) if axis != 2]
    assert torch.equal(given[:, others], maps[:, others])
    assert torch.allclose(space.transplanted(maps, maps), maps)


def test_energy_is_the_mean_squared_distance_from_the_reference():
    maps = torch.randn(5, CHANNELS, 3, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    space = ArtefactSpace(axis_space(1, CHANNELS).directions, torch.tensor([0.7]).double(), torch.ones(1).double())
    assert np.allclose(space.energy(maps), ((maps[:, 1] - 0.7) ** 2).mean(dim=(1, 2)).numpy())


def test_joined_spaces_keep_their_references_and_count_shared_directions_once():
    first = ArtefactSpace(axis_space(1, CHANNELS).directions, torch.tensor([0.7]).double(), torch.ones(1).double())
    second = ArtefactSpace(
        torch.eye(CHANNELS, dtype=torch.float64)[[1, 4]], torch.tensor([0.7, -2.0]).double(), torch.ones(2).double()
    )
    both = joined([first, second], CHANNELS)
    assert both.rank == 2
    removed = both.removed(torch.zeros(1, CHANNELS, dtype=torch.float64))
    expected = torch.zeros(CHANNELS, dtype=torch.float64)
    expected[1], expected[4] = 0.7, -2.0
    assert torch.allclose(removed[0], expected, atol=1e-10)
    assert joined([], CHANNELS).rank == 0


def test_written_then_read_is_the_same_and_an_audit_without_artefacts_leaves_none(tmp_path):
    run = RunFolder(tmp_path)
    written = {"ink": fitted(*_planted()), "dark_corner": axis_space(1, CHANNELS)}
    write_spaces(run, written)
    stored = read_spaces(run)
    assert set(stored) == set(written)
    for name, space in written.items():
        assert torch.equal(stored[name].directions, space.directions)
        assert torch.equal(stored[name].reference, space.reference)
        assert stored[name].beyond_chance == space.beyond_chance
    write_spaces(run, {})
    assert read_spaces(run) == {}


def _planted():
    labels, strata = cohort()
    return put(labels, direction(1.0), 2.5), labels, strata


def test_contrast_weights_balance_inside_every_stratum():
    labels, strata = cohort()
    labels[::11] = np.nan
    weights = contrast_weights(labels, strata)
    assert weights[labels == 1].sum() == pytest.approx(1.0)
    assert np.all(weights[np.isnan(labels)] == 0)
    for stratum in np.unique(strata):
        assert weights[strata == stratum].sum() == pytest.approx(0.0)
    assert not contrast_weights(np.ones(4), np.zeros(4, dtype=np.int64)).any()


def test_more_images_than_weights_are_refused():
    moments = ContrastMoments(np.zeros((1, 3)), CHANNELS)
    with pytest.raises(DataError, match="4 images for 3 weights"):
        moments.add(torch.zeros(4, CHANNELS))
