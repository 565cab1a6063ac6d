import json
import math

import pytest
import torch
from ignite.engine import Engine
from torch import distributed, multiprocessing, nn

from concepts.errors import SettingsError
from pipeline.choices import Objective, Schedule
from pipeline.training.alignment import ConceptAlignment, align
from pipeline.training.layer_statistics import collect_statistics
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.statistics import LayerMoments
from pipeline.whitening.surgery import insert_after, replace_norm, whitening_layers

NAN = math.nan


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1),
        nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2),
    )  # fmt: skip


def whitened(names=("1",), concepts=("a", "b"), operation=replace_norm):
    network = plain()
    for name in names:
        operation(network, name, concepts=concepts)
    return network


def batch(seed=0, count=8):
    labels = torch.randint(0, 2, (count, 2), generator=torch.Generator().manual_seed(seed)).float()
    images = draw(count, 3, 4, 4, seed=seed)
    images[:, 0] += 2 * labels[:, 0, None, None]
    return {"image": images, "concepts": labels, "regions": labels[:, :, None, None].repeat(1, 1, 8, 8)}


BATCHES = [batch(seed) for seed in range(4)]


def test_moments_over_batches_are_those_of_all_samples_together():
    x = draw(10, 4, 3, 3).double() + 100
    moments = LayerMoments(4, 0)
    for part in x.split([1, 4, 5]):
        moments.add(part)
    positions = x.permute(1, 0, 2, 3).reshape(4, -1)
    torch.testing.assert_close(moments.mean, positions.mean(dim=1))
    torch.testing.assert_close(moments.covariance, torch.cov(positions, correction=0))


def test_directions_of_the_three_objectives():
    x = torch.zeros(4, 2, 2, 2)
    x[0, 0, 0] = 1.0
    labels = torch.tensor([[1.0], [0.0], [NAN], [NAN]])
    regions = torch.full((4, 1, 4, 4), NAN)
    regions[0] = 0
    regions[0, :, :2] = 1
    moments = LayerMoments(2, 1)
    moments.add(x, labels, regions)
    assert moments.concept_directions(Objective.POSITIVES).tolist() == [[0.5 - 0.125, 0.0]]
    assert moments.concept_directions(Objective.CONTRAST).tolist() == [[0.5, 0.0]]
    assert moments.concept_directions(Objective.REGIONS).tolist() == [[1.0, 0.0]]


def test_objectives_fall_back_where_there_is_nothing_to_contrast():
    moments = LayerMoments(2, 2)
    moments.add(draw(3, 2, 2, 2), torch.tensor([[1.0, 0.0], [1.0, 0.0], [NAN, 0.0]]))
    positives = moments.concept_directions(Objective.POSITIVES)
    torch.testing.assert_close(moments.concept_directions(Objective.REGIONS)[0], positives[0])
    assert positives[1].isnan().all()


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("operation", [replace_norm, insert_after])
def test_a_planted_direction_is_found(objective, operation):
    network = whitened(operation=operation)
    (layer,) = whitening_layers(network).values()
    report = next(iter(align(network, BATCHES, objective=objective).values()))
    (moments,) = collect_statistics(network, {"x": layer}, BATCHES).values()
    planted = layer.whitening() @ (moments.present.means - moments.absent.means)[0]
    assert torch.cosine_similarity(planted, layer.rotation[0].double(), dim=0) > 0.95
    assert report.after >= report.before
    assert report.residual < 1e-3
    assert report.positives["a"] == sum(int(batch["concepts"][:, 0].sum()) for batch in BATCHES)
    json.loads(report.model_dump_json())


def test_aligning_again_changes_nothing():
    network = whitened()
    align(network, BATCHES)
    rotation = whitening_layers(network)["1"].rotation.clone()
    report = align(network, BATCHES)["1"]
    torch.testing.assert_close(whitening_layers(network)["1"].rotation, rotation, atol=1e-4, rtol=0)
    assert report.after >= report.before - 1e-6


def test_order_and_size_of_batches_do_not_matter():
    rotations = []
    whole = {key: torch.cat([batch[key] for batch in BATCHES]) for key in BATCHES[0]}
    for batches in (BATCHES, BATCHES[::-1], [whole]):
        network = whitened()
        align(network, batches)
        rotations.append(whitening_layers(network)["1"].rotation)
    torch.testing.assert_close(rotations[1], rotations[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(rotations[2], rotations[0], atol=1e-5, rtol=0)


def test_a_concept_without_positives_keeps_its_last_statistics():
    network = whitened()
    align(network, BATCHES)
    layer = whitening_layers(network)["1"]
    kept = layer.concept_directions[1].clone()
    align(network, [part | {"concepts": part["concepts"] * torch.tensor([1.0, NAN])} for part in BATCHES[:2]])
    assert torch.equal(layer.concept_directions[1], kept)
    assert kept.any()


def test_several_layers_each_get_the_statistics_of_the_final_network():
    for operation in (replace_norm, insert_after):
        network = whitened(("1", "5"), operation=operation)
        reports = align(network, BATCHES)
        layers = whitening_layers(network)
        assert list(reports) == list(layers)
        for name, moments in collect_statistics(network, layers, BATCHES).items():
            torch.testing.assert_close(layers[name].covariance.double(), moments.covariance, atol=1e-5, rtol=1e-4)


def test_the_pass_stops_at_the_layer_and_puts_the_modes_back():
    network = whitened()
    network.train()
    network[0].eval()
    network[8].register_forward_hook(lambda *_: pytest.fail("ran past the layer"))
    align(network, BATCHES)
    assert network.training
    assert not network[0].training


def test_refusals():
    with pytest.raises(SettingsError, match="no whitened layer"):
        align(plain(), BATCHES)
    with pytest.raises(SettingsError, match="empty"):
        align(whitened(), [])
    with pytest.raises(SettingsError, match="2 columns of concepts but the layer has 3"):
        align(whitened(concepts=("a", "b", "c")), BATCHES)


def trained(schedule, network, *, epochs=2, state=None, **options):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)

    def step(_engine, examples):
        optimizer.zero_grad()
        network.train()(examples["image"]).square().sum().backward()
        optimizer.step()

    engine = Engine(step)
    handler = ConceptAlignment(network, BATCHES, schedule=schedule, **options)
    if state is not None:
        handler.load_state_dict(state)
    handler.attach(engine)
    engine.run(BATCHES, max_epochs=epochs)
    return handler


def test_exact_schedule_leaves_exact_statistics_after_every_epoch():
    network = whitened()
    handler = trained(Schedule.EXACT, network)
    layer = whitening_layers(network)["1"]
    (moments,) = collect_statistics(network, {"1": layer}, BATCHES).values()
    torch.testing.assert_close(layer.covariance.double(), moments.covariance, atol=1e-5, rtol=1e-4)
    assert handler.reports["1"].residual_before > handler.reports["1"].residual


@pytest.mark.parametrize("operation", [replace_norm, insert_after])
def test_paper_schedule_turns_the_axis_towards_its_concept(operation):
    network = whitened(operation=operation)
    trained(Schedule.PAPER, network, epochs=15, every=1, objective=Objective.POSITIVES)
    (layer,) = whitening_layers(network).values()
    x = torch.cat([examples["image"] for examples in BATCHES])
    labels = torch.cat([examples["concepts"] for examples in BATCHES])[:, 0] == 1
    activations = layer.activations(network[1].module(network[0](x)) if operation is insert_after else network[0](x))
    assert activations[labels, 0].mean() > activations[~labels, 0].mean() + 0.5
    assert (layer.rotation @ layer.rotation.mT - torch.eye(6)).abs().max() < 1e-5


def test_a_resumed_stochastic_schedule_goes_on_as_if_never_stopped():
    whole, parts = whitened(), whitened()
    trained(Schedule.PAPER, whole, epochs=4, every=2)
    first = trained(Schedule.PAPER, parts, epochs=2, every=2)
    trained(Schedule.PAPER, parts, epochs=2, every=2, state=first.state_dict())
    assert torch.equal(whole[1].rotation, parts[1].rotation)


def halves(rank, port, folder, world):
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    torch.set_num_threads(1)
    network = parallel_run(
        [{key: value[rank::world] for key, value in examples.items()} for examples in BATCHES], world
    )
    torch.save(network.state_dict(), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def parallel_run(batches, world):
    # In double precision, so that what differs is the method and not the order of the sums.
    network = whitened(("1", "5")).double()
    batches = [{key: value.double() for key, value in examples.items()} for examples in batches]
    model = nn.parallel.DistributedDataParallel(network) if world > 1 else network
    align(network, batches)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for number in range(20):
        optimizer.zero_grad()
        examples = batches[number % len(batches)]
        model.train()(examples["image"]).square().mean().backward()
        optimizer.step()
    align(network, batches)
    return network


@pytest.mark.slow
def test_two_processes_with_half_a_batch_each_are_one_with_the_whole(tmp_path, unused_port):
    multiprocessing.spawn(halves, (unused_port, str(tmp_path), 2), nprocs=2)
    expected = parallel_run(BATCHES, 1).state_dict()
    for rank in range(2):
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in expected.items():
            torch.testing.assert_close(state[name], value, atol=1e-9, rtol=1e-9)


@pytest.fixture
def unused_port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_layer_without_concepts_gets_statistics_only():
    network = whitened(concepts=())
    report = align(network, BATCHES)["1"]
    assert report.positives == {}
    assert isinstance(network[1], ConceptWhitening)
    torch.testing.assert_close(network[1].rotation, torch.eye(6))


def test_shrinkage_keeps_whitening_exact_and_trusts_loud_channels_more():
    outcomes = {}
    for shrinkage in (0.0, 10.0):
        network = whitened()
        (report,) = align(network, BATCHES, shrinkage=shrinkage).values()
        layer = whitening_layers(network)["1"]
        directions = layer.concept_directions / layer.concept_directions.norm(dim=1, keepdim=True)
        seen = (layer.rotation[:2] @ layer.whitening().float()) / (
            (layer.rotation[:2] @ layer.whitening().float()).norm(dim=1, keepdim=True)
        )
        assert report.residual < 1e-3
        torch.testing.assert_close(layer.rotation @ layer.rotation.mT, torch.eye(6), atol=1e-5, rtol=0)
        outcomes[shrinkage] = float((seen * directions).sum(dim=1).mean())
    # With ever more shrinkage an axis looks along the plain difference of means.
    assert outcomes[10.0] > outcomes[0.0] + 0.01
