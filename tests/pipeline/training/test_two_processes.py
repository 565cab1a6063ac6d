"""Two processes with half of every batch each are one with the whole."""

import socket

import pytest
import torch
from ignite import distributed as idist
from safetensors.torch import load_file, save_file
from torch import distributed, multiprocessing, nn
from torch.utils.data import DataLoader, Dataset

from concepts.errors import RunError
from pipeline.choices import Activation, FreeAxes, Schedule
from pipeline.config import ConceptLossSettings, TrainingSettings
from pipeline.run.progress import Silent
from pipeline.training.alignment import ConceptAlignment, align
from pipeline.training.axis_dropout import drop_free_axes
from pipeline.training.engine import Phase, PhaseTrainer
from pipeline.training.freeze import freeze
from pipeline.training.loss import TrainingLoss
from pipeline.training.processes import agreed, from_first, is_first
from pipeline.whitening.surgery import insert_after, whitening_layers

pytestmark = pytest.mark.slow

CASES = {
    "exact": {"schedule": Schedule.EXACT},
    "paper": {"schedule": Schedule.PAPER, "norm_momentum": None},
}
BATCH, BATCHES, EPOCHS = 12, 10, 2


class Stripes(Dataset):
    """Random images whose brightness tells the diagnosis; concepts are often unknown, and one is rare."""

    def __init__(self, dtype):
        generator = torch.Generator().manual_seed(3)
        rows = BATCH * BATCHES
        self.labels = torch.randint(3, (rows,), generator=generator)
        self.images = torch.randn(rows, 3, 12, 12, generator=generator, dtype=torch.float64)
        self.images = (self.images + 0.5 * self.labels[:, None, None, None]).to(dtype)
        self.concepts = (torch.rand(rows, 2, generator=generator) < torch.tensor([0.4, 0.1])).float()
        self.concepts[torch.rand(rows, 2, generator=generator) < 0.3] = torch.nan
        self.regions = torch.rand(rows, 2, 6, 6, generator=generator)
        self.regions[::5] = torch.nan

    def set_epoch(self, epoch):
        pass

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        item = {"image": self.images[row], "label": int(self.labels[row])}
        return item | {"concepts": self.concepts[row], "regions": self.regions[row]}


def loader(dtype, *, rank=0, world=1):
    rows = [list(range(start + rank, start + BATCH, world)) for start in range(0, BATCH * BATCHES, BATCH)]
    return DataLoader(Stripes(dtype), batch_sampler=rows)


def build(dtype, norm_momentum):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8, momentum=norm_momentum),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, bias=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.BatchNorm1d(128, affine=False, eps=1e-3),
        nn.Dropout(0.2),
        nn.Linear(128, 3),
    )
    # No bias comes right before a normalisation or whitening: it has no gradient but rounding, which Adam magnifies to
    # whole steps.
    insert_after(network, "3", concepts=("bright", "rare"), activation=Activation.MEAN)
    return network.to(dtype)


def train(folder, dtype, *, schedule=Schedule.EXACT, norm_momentum=0.1, rank=0, world=1):
    network = build(dtype, norm_momentum)
    (layer,) = whitening_layers(network).values()
    batches = loader(dtype, rank=rank, world=world)
    align(network, batches)
    drop_free_axes(layer, 0.5, FreeAxes.EXPECTED)
    loss = TrainingLoss(
        class_weights=torch.tensor([1.0, 2.0, 0.5], dtype=dtype),
        label_smoothing=0.1,
        layers=[layer],
        concept_settings=ConceptLossSettings(weight=1.0, region_weight=0.5),
    ).to(dtype)
    trainer = PhaseTrainer(
        network,
        loss,
        phase=Phase(name="plain", epochs=EPOCHS, learning_rate=3e-4, seed=5, layer=layer),
        settings=TrainingSettings(batch_size=BATCH),
        train=batches,
        validation=batches,
        folder=folder,
        tracker=Silent(),
        handlers=[ConceptAlignment(network, loader(dtype, rank=rank, world=world), schedule=schedule, every=4)],
    )
    trainer.run()
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    state |= {f"loss.{name}": value for name, value in loss.state_dict().items()}
    figures = [value for epoch in trainer.history.epochs for value in epoch.values()]
    return state | {"figures": torch.tensor(figures, dtype=torch.float64)}


def frozen_norm_keeps_still(folder, rank):
    network = build(torch.float32, 0.1)
    freeze(network, ["1"])
    batches = loader(torch.float32, rank=rank, world=2)
    phase = Phase(name="plain", epochs=1, learning_rate=1e-2, seed=5)
    PhaseTrainer(
        network,
        TrainingLoss(),
        phase=phase,
        settings=TrainingSettings(batch_size=BATCH),
        train=batches,
        validation=batches,
        folder=folder / "frozen",
        tracker=Silent(),
    ).run()
    return {"frozen mean": network[1].running_mean, "frozen weight": network[1].weight.detach()}


def what_was_agreed(rank):
    """1 for its own error, 2 for a silent end, 0 for neither; the second process fails, then both."""
    outcomes = []
    for failing in ((), (1,), (0, 1)):
        try:
            with agreed():
                if rank in failing:
                    raise RunError(f"process {rank} fails")
            outcomes.append(0)
        except RunError:
            outcomes.append(1)
        except SystemExit as error:
            outcomes.append(error.code)
    word = from_first("Läufe/1" if is_first() else None)
    return {"agreed": torch.tensor(outcomes), "word": torch.tensor(list(word.encode()))}


def half(rank, port, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    idist.set_local_rank(rank)
    for dtype in (torch.float32, torch.float64):
        for name, options in CASES.items():
            state = train(folder / f"two {name} {dtype}", dtype, rank=rank, world=2, **options)
            write(state, folder / f"{name}.{dtype}.{rank}")
    write(what_was_agreed(rank) | frozen_norm_keeps_still(folder, rank), folder / f"other.{rank}")
    distributed.destroy_process_group()


def write(state, path):
    save_file({name: value.clone(memory_format=torch.contiguous_format) for name, value in state.items()}, path)


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(half, (port, folder), nprocs=2)
    return folder


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", CASES)
def test_two_halves_train_to_the_network_of_the_whole(halves, tmp_path, name, dtype, tolerance):
    expected = train(tmp_path, dtype, **CASES[name])
    for rank in range(2):
        state = load_file(halves / f"{name}.{dtype}.{rank}")
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(state[key], value, rtol=0, atol=tolerance, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("name", CASES)
def test_both_processes_end_with_the_same_bits(halves, name):
    first, second = (load_file(halves / f"{name}.torch.float32.{rank}") for rank in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_frozen_normalisation_keeps_its_statistics(halves):
    for rank in range(2):
        state = load_file(halves / f"other.{rank}")
        assert torch.equal(state["frozen mean"], torch.zeros(8))
        assert torch.equal(state["frozen weight"], torch.ones(8))


def test_an_error_of_one_process_ends_all_and_only_it_speaks(halves):
    first, second = (load_file(halves / f"other.{rank}")["agreed"].tolist() for rank in range(2))
    assert first == [0, 2, 1]
    assert second == [0, 1, 2]


def test_the_first_process_says_where_the_run_is(halves):
    words = [bytes(load_file(halves / f"other.{rank}")["word"].tolist()).decode() for rank in range(2)]
    assert words == ["Läufe/1"] * 2
