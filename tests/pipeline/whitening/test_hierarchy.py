import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepts.errors import DataError
from pipeline.choices import Objective
from pipeline.training.alignment import align
from pipeline.whitening.errors import LabelsError, WhiteningError
from pipeline.whitening.hierarchy import subspace_rotation, turn_children, turn_free, turn_upper, within_spread
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.rotate import procrustes_rotation
from pipeline.whitening.subspaces import AxisLayout, Subspace
from pipeline.whitening.surgery import insert_after, whitening_layers

NAN = math.nan
CONCEPTS = ("streaks", "network", "typical", "atypical", "globules", "rim", "clumps")
SUBSPACES = (Subspace("network", ("typical", "atypical"), free=2), Subspace("globules", ("rim", "clumps"), free=1))
LAYOUT = AxisLayout(CONCEPTS, SUBSPACES)
CHANNELS = 16


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_rotation(channels=CHANNELS, seed=0):
    return torch.linalg.qr(draw(channels, channels, seed=seed))[0]


def random_spread(seed, rank=6):
    factor = draw(CHANNELS, rank, seed=seed)
    return factor @ factor.mT


def assert_orthogonal(rotation, tolerance=1e-5):
    identity = torch.eye(len(rotation), dtype=rotation.dtype)
    assert (rotation @ rotation.mT - identity).abs().max() <= tolerance


def objective(rotation, means, concepts):
    return float((rotation[concepts] * means[concepts]).sum())


def varied(rotation, spreads):
    frames = rotation[len(CONCEPTS) : LAYOUT.owned]
    return float(within_spread(frames, spreads, [subspace.free for subspace in SUBSPACES]))


def test_named_axes_come_first_then_free_axes_by_subspace():
    assert LAYOUT.axes(SUBSPACES[0]) == [1, 2, 3, 7, 8]
    assert LAYOUT.axes(SUBSPACES[1]) == [4, 5, 6, 9]
    assert LAYOUT.owned == 10
    assert LAYOUT.upper == [0, 1, 4]
    assert LAYOUT.parents == {2: 1, 3: 1, 5: 4, 6: 4}
    axes = [axis for subspace in SUBSPACES for axis in LAYOUT.axes(subspace)]
    assert len(axes) == len(set(axes)) == sum(len(subspace.names) + subspace.free for subspace in SUBSPACES)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Subspace("a", ("b", "b")), r"'a': a name occurs twice"),
        (lambda: Subspace("a", ("a",)), r"'a': a name occurs twice"),
        (lambda: Subspace("a"), r"0 children and 0 free axes"),
        (lambda: Subspace("a", ("b",), free=-1), r"-1 free axes"),
        (lambda: AxisLayout(("a",), (Subspace("a", ("b",)),)), r"name 'b', which is no concept of the layer"),
        (
            lambda: AxisLayout(("a", "b", "c"), (Subspace("a", ("b",)), Subspace("b", ("c",)))),
            r"'b' is in two subspaces",
        ),
        (
            lambda: ConceptWhitening(4, ("a", "b"), subspaces=(Subspace("a", ("b",), free=3),)),
            r"ask for 5 axes of 4 channels",
        ),
    ],
)
def test_what_cannot_be_laid_out_is_refused(build, message):
    with pytest.raises(WhiteningError, match=message):
        build()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), opposite=st.booleans(), unknown=st.sampled_from([[], [2], [1, 2, 3], [0, 5]]))
def test_each_step_keeps_orthogonality_and_never_lowers_its_objective(seed, opposite, unknown):
    means, before = draw(len(CONCEPTS), CHANNELS, seed=seed), random_rotation(seed=seed + 1)
    if opposite:
        means[3] = -means[2]
    means[unknown] = 0
    spreads = [random_spread(seed + 2), random_spread(seed + 3)]
    upper = turn_upper(means, LAYOUT, before)
    assert objective(upper, means, LAYOUT.upper) >= objective(before, means, LAYOUT.upper) - 1e-9
    children = turn_children(means, LAYOUT, upper)
    torch.testing.assert_close(children[LAYOUT.upper], upper[LAYOUT.upper])
    assert objective(children, means, LAYOUT.children) >= objective(upper, means, LAYOUT.children) - 1e-9
    free = turn_free(spreads, LAYOUT, children)
    torch.testing.assert_close(free[: len(CONCEPTS)], children[: len(CONCEPTS)])
    assert varied(free, spreads) >= varied(children, spreads) - 1e-9
    for rotation in (upper, children, free):
        assert_orthogonal(rotation, 1e-9)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000))
def test_each_step_finds_the_best_of_what_is_left(seed):
    means, spreads = draw(len(CONCEPTS), CHANNELS, seed=seed), [random_spread(seed), random_spread(seed + 1)]
    best = subspace_rotation(means, LAYOUT, spreads=spreads)
    for other in range(10):
        upper = turn_upper(means, LAYOUT, random_rotation(seed=other))
        assert objective(upper, means, LAYOUT.upper) == pytest.approx(objective(best, means, LAYOUT.upper), rel=1e-5)
        assert objective(upper, means, LAYOUT.children) <= objective(best, means, LAYOUT.children) + 1e-6


def test_children_cost_the_upper_level_nothing():
    means, before = draw(len(CONCEPTS), CHANNELS), random_rotation()
    alone = procrustes_rotation(means[LAYOUT.upper], rotation=torch.cat([before[LAYOUT.upper], before[LAYOUT.children],
        before[len(CONCEPTS) :]]))  # fmt: skip
    turned = subspace_rotation(means, LAYOUT, rotation=before, spreads=[random_spread(1), random_spread(2)])
    torch.testing.assert_close(turned[LAYOUT.upper], alone[: len(LAYOUT.upper)])


def test_free_axes_of_one_subspace_are_the_leading_eigenvectors_of_what_is_left():
    layout = AxisLayout(("a", "b"), (Subspace("a", ("b",), free=3),))
    spread, means = random_spread(5, rank=CHANNELS), draw(2, CHANNELS)
    turned = subspace_rotation(means, layout, rotation=random_rotation(), spreads=[spread])
    room = torch.eye(CHANNELS, dtype=torch.float64) - turned[:2].mT @ turned[:2]
    leading = torch.linalg.eigvalsh(room @ spread @ room)[-3:].sum()
    assert float(within_spread(turned[2:5], [spread], [3])) == pytest.approx(float(leading), rel=1e-9)


def test_aligning_again_moves_nothing():
    means, spreads = draw(len(CONCEPTS), CHANNELS), [random_spread(1, CHANNELS), random_spread(2, CHANNELS)]
    means[3] = -means[2] * (1 + 1e-7)
    once = subspace_rotation(means, LAYOUT, rotation=random_rotation(), spreads=spreads)
    again = subspace_rotation(means, LAYOUT, rotation=once, spreads=spreads)
    torch.testing.assert_close(again, once, atol=2e-3, rtol=0)


def test_nothing_known_of_a_subspace_leaves_its_axes_in_place():
    before = random_rotation()
    nothing = [torch.zeros(CHANNELS, CHANNELS, dtype=torch.float64)] * 2
    means = torch.zeros(len(CONCEPTS), CHANNELS, dtype=torch.float64)
    torch.testing.assert_close(subspace_rotation(means, LAYOUT, rotation=before, spreads=nothing), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layout_without_subspaces_is_the_flat_rotation_bit_by_bit(dtype):
    means, before = draw(4, CHANNELS).to(dtype), random_rotation().to(dtype)
    flat = AxisLayout(("a", "b", "c", "d"))
    assert torch.equal(subspace_rotation(means, flat, rotation=before), procrustes_rotation(means, rotation=before))


def test_orthogonal_in_float32_after_many_updates():
    rotation = torch.eye(CHANNELS)
    for seed in range(20):
        means = draw(len(CONCEPTS), CHANNELS, seed=seed).float()
        rotation = subspace_rotation(means, LAYOUT, rotation=rotation, spreads=[random_spread(seed).float()] * 2)
    assert_orthogonal(rotation, 1e-5)


def test_children_are_told_apart_inside_their_parent():
    labels = torch.tensor([[0.0, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 1, NAN, 1], [0, NAN, 1, 0, NAN, 0, 0]])
    inside = LAYOUT.inside(labels)
    expected = [[0, 1, 1, 0, 0, NAN, NAN], [1, 0, NAN, NAN, 1, NAN, 1], [0, NAN, 1, NAN, NAN, NAN, NAN]]
    torch.testing.assert_close(inside, torch.tensor(expected), equal_nan=True)
    assert AxisLayout(CONCEPTS).inside(labels) is labels


def test_a_child_without_its_parent_is_refused():
    labels = torch.zeros(3, len(CONCEPTS))
    labels[1, 2] = 1
    with pytest.raises(LabelsError, match=r"row 1 of a batch: 'typical' is present but its parent 'network' is absent"):
        LAYOUT.inside(labels)


def test_regions_of_children_end_at_the_parents_mask():
    regions = torch.zeros(1, len(CONCEPTS), 2, 2)
    regions[0, 1] = regions[0, 2] = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    inside = LAYOUT.inside_regions(regions)
    torch.testing.assert_close(inside[0, 2], torch.tensor([[1.0, NAN], [1.0, NAN]]), equal_nan=True)
    torch.testing.assert_close(inside[0, 3], torch.tensor([[0.0, NAN], [0.0, NAN]]), equal_nan=True)
    assert inside[0, 5].isnan().all()
    torch.testing.assert_close(inside[0, :2], regions[0, :2])


def test_state_dict_carries_the_subspaces():
    layer = ConceptWhitening(CHANNELS, CONCEPTS, subspaces=SUBSPACES)
    other = ConceptWhitening(CHANNELS, CONCEPTS)
    other.load_state_dict(layer.state_dict())
    assert other.layout == LAYOUT
    flat = ConceptWhitening(CHANNELS, CONCEPTS)
    assert b"subspaces" not in bytes(flat.get_extra_state().tolist())


def planted(count=400, *, seed=0):
    """Images whose channels hold the network (channel 0), its type (1, only inside it), and streaks (2), mixed."""
    generator = torch.Generator().manual_seed(seed)
    network, kind, streaks = (torch.rand(3, count, generator=generator) < 0.5).float()
    typical, atypical = network * kind, network * (1 - kind)
    x = torch.randn(count, 8, 4, 4, generator=generator)
    within = torch.randn(count, generator=generator)
    for channel, level in enumerate((2 * network, typical - atypical, 2 * streaks, 1.5 * network * within)):
        x[:, channel] += level[:, None, None]
    mixing = torch.randn(8, 8, generator=torch.Generator().manual_seed(9))
    labels = torch.stack([network, typical, atypical, streaks], dim=1)
    masks = labels[:, :, None, None].repeat(1, 1, 4, 4)
    return {"image": torch.einsum("ij,njhw->nihw", mixing, x), "concepts": labels, "regions": masks, "within": within}


def aligned(objective, *, free=1, batches=None):
    network = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 1), torch.nn.Flatten(), torch.nn.Linear(8 * 16, 2))
    torch.nn.init.dirac_(network[0].weight)
    concepts = ("network", "typical", "atypical", "streaks")
    subspaces = (Subspace("network", ("typical", "atypical"), free=free),)
    insert_after(network, "0", concepts=concepts, subspaces=subspaces, activation="mean")
    report = align(network, batches or [planted()], objective=objective)
    return whitening_layers(network)["0.whitening"], next(iter(report.values()))


def auc(scores, labels):
    positive, negative = scores[labels == 1], scores[labels == 0]
    return float((positive[:, None] > negative).double().mean())


@pytest.mark.parametrize("objective", list(Objective))
def test_a_planted_hierarchy_is_found(objective):
    layer, report = aligned(objective)
    test = planted(300, seed=1)
    z, labels = layer.eval().activations(test["image"]), test["concepts"]
    shown = labels[:, 0] == 1
    assert auc(z[:, 0], labels[:, 0]) > 0.97
    for child in (1, 2):
        assert auc(z[shown, child], labels[shown, child]) > 0.9
        assert abs(auc(z[shown, 0], labels[shown, child]) - 0.5) < 0.15
        assert abs(auc(z[:, child], labels[:, 3]) - 0.5) < 0.15
    assert report.inside is not None
    assert report.inside["after"] >= report.inside["before"]
    assert report.after >= report.before


def test_the_free_axis_holds_what_else_varies_inside_the_parent():
    layer, _ = aligned(Objective.CONTRAST)
    test = planted(300, seed=1)
    shown = test["concepts"][:, 0] == 1
    z = layer.eval()(test["image"]).mean(dim=(2, 3))[shown]
    correlations = torch.corrcoef(torch.cat([z.mT, test["within"][shown][None]]))[-1, :-1].abs()
    assert correlations[4] > 0.9
    assert correlations[:4].max() < 0.5


def test_between_subspaces_nothing_is_correlated():
    layer, report = aligned(Objective.CONTRAST)
    z = layer.eval()(planted()["image"]).movedim(1, -1).flatten(0, 2).double()
    covariance = torch.cov(z.mT, correction=0)
    network_axes = layer.layout.axes(layer.layout.subspaces[0])
    others = [axis for axis in range(8) if axis not in network_axes]
    assert covariance[network_axes][:, others].abs().max() < 1e-3
    assert_orthogonal(layer.rotation)
    assert report.residual < 1e-3


def test_a_contradiction_in_the_labels_stops_the_alignment():
    batch = planted()
    batch["concepts"][5] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    with pytest.raises(DataError, match=r"row 5 of a batch"):
        aligned(Objective.CONTRAST, batches=[batch])
