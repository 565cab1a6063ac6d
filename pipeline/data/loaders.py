"""Items for the network: a data set that can be replayed, and its loaders.

The randomness of an item depends on the seed, the epoch, the row and how often that row was drawn before in the epoch,
and on nothing else: neither on the number of workers nor on that of machines.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from monai.transforms import Compose, Randomizable
from torch.utils.data import DataLoader, Dataset, Sampler

from concepts.errors import DataError, SettingsError
from pipeline.choices import Balance
from pipeline.data.decoded import DecodedCache, Paths
from pipeline.data.sample import Sample
from pipeline.run.seeds import Stream, random_generator

Item = dict[str, Any]
Rows = npt.NDArray[np.int64]


class Draw(NamedTuple):
    """A row of the data set, and how often it was drawn before in this epoch: each time it is transformed anew."""

    row: int
    repeat: int


class CaseDataset(Dataset[Item]):
    """Samples as items of the network's tensors.

    An item has ``image`` (float32, 3 x size x size), ``label`` (index into ``classes``), ``index`` (the row); with
    concept labels ``concepts`` (float32, k); with region paths ``regions`` (float32, k x size/4 x size/4, the share of
    each cell that is inside). The plane of a concept without a mask is zero where the concept is known to be absent,
    else NaN.

    Args:
        samples: The cohort.
        cache: Where their decoded images are.
        transform: From `pipeline.data.transforms`.
        classes: The diagnoses, in the order of the network's outputs.
        concept_labels: N x k; 1 present, 0 absent, NaN unknown.
        region_paths: For each sample k mask files, or None where there is none.
        seed: Of all random numbers of the items.

    Raises:
        DataError: If a sample's diagnosis is not among the classes, or the labels or paths are not one row per sample.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        cache: DecodedCache,
        transform: Compose,
        classes: Sequence[str],
        concept_labels: npt.ArrayLike | None = None,
        region_paths: Sequence[Paths] | None = None,
        seed: int = 0,
    ) -> None:
        self.samples = list(samples)
        self.cache = cache
        self.transform = transform
        self.random_steps = [step for step in transform.transforms if isinstance(step, Randomizable)]
        self.classes = tuple(classes)
        self.labels = class_indices(self.samples, self.classes)
        self.concept_labels = None if concept_labels is None else np.array(concept_labels, dtype=np.float32)
        self.region_paths = None if region_paths is None else [tuple(paths) for paths in region_paths]
        self.seed = seed
        self.epoch = 0
        _check_rows(self.samples, self.concept_labels, self.region_paths)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose random numbers the items use, before the loader is iterated."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | Draw) -> Item:
        row, repeat = key if isinstance(key, Draw) else Draw(key, 0)
        sample = self.samples[row]
        item: Item = {"image": self.cache.get(sample)}
        if self.region_paths is not None:
            item["regions"] = self.cache.get_masks(sample, self.region_paths[row])
        self._reseed(row, repeat)
        item = dict(self.transform(item))
        if self.region_paths is not None:
            item["regions"][torch.from_numpy(self._unmarked(row))] = torch.nan
        if self.concept_labels is not None:
            item["concepts"] = torch.from_numpy(self.concept_labels[row].copy())
        return item | {"label": int(self.labels[row]), "index": int(row)}

    def _reseed(self, row: int, repeat: int) -> None:
        # One PCG64 for all steps: MONAI's own seeding makes a Mersenne twister for each, which takes a millisecond.
        state = np.random.RandomState(np.random.PCG64((self.seed, Stream.AUGMENTATION, self.epoch, row, repeat)))
        for step in self.random_steps:
            step.set_random_state(state=state)

    def _unmarked(self, row: int) -> npt.NDArray[np.bool_]:
        """Mark the concepts of a row that have no mask, though they are not known to be absent."""
        paths = () if self.region_paths is None else self.region_paths[row]
        missing = np.array([path is None for path in paths], dtype=np.bool_)
        return missing if self.concept_labels is None else missing & (self.concept_labels[row] != 0)


def epoch_order(labels: npt.ArrayLike, *, balance: Balance, seed: int, epoch: int) -> Rows:
    """Draw the rows of one epoch, in order.

    With ``Balance.SAMPLER`` every class that occurs gets an equal share of the N draws, and inside a class no row is
    repeated before all were drawn. Compared with independent weighted draws (PyTorch's ``WeightedRandomSampler``), the
    shares are exact rather than expected, and a class's rows are used evenly.

    Args:
        labels: N class indices.
        balance: ``SAMPLER`` balances; the others shuffle.
        seed: Of the shuffle.
        epoch: Each has an order of its own.

    Returns:
        N row numbers.
    """
    labels = np.asarray(labels)
    generator = random_generator(seed, Stream.ORDER, epoch)
    if balance is not Balance.SAMPLER:
        return generator.permutation(len(labels))
    present = generator.permutation(np.unique(labels))
    shares = np.diff(np.linspace(0, len(labels), len(present) + 1).astype(np.int64))
    rows = [_cycle(np.flatnonzero(labels == k), int(n), generator) for k, n in zip(present, shares, strict=True)]
    return generator.permutation(np.concatenate(rows)) if rows else np.arange(0)


class EpochBatches(Sampler[list[Draw]]):
    """Batches of one rank, in the order that the data set's epoch gives.

    Every rank draws the same global batches and takes every ``world_size``-th row of each, so the batches do not depend
    on the number of machines. Rows left over after the last full batch are not used in that epoch.

    Args:
        dataset: Whose rows; its seed and epoch decide the order.
        batch_size: Of the global batch.
        balance: See `epoch_order`.
        rank: This process, from 0.
        world_size: How many processes there are.

    Raises:
        SettingsError: If there are fewer rows than a batch has, or the batch cannot be divided evenly.
    """

    def __init__(
        self, dataset: CaseDataset, *, batch_size: int, balance: Balance, rank: int = 0, world_size: int = 1
    ) -> None:
        if len(dataset) < batch_size:
            raise SettingsError(
                f"training.batch_size is {batch_size} but there are {len(dataset)} training images; set it lower"
            )
        if batch_size % world_size:
            raise SettingsError(
                f"training.batch_size is {batch_size}, which {world_size} processes cannot share evenly; "
                f"choose a multiple of {world_size}"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.balance = balance
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return len(self.dataset) // self.batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        order = epoch_order(self.dataset.labels, balance=self.balance, seed=self.dataset.seed, epoch=self.dataset.epoch)
        draws = _count_repeats(order)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield draws[start + self.rank : start + self.batch_size : self.world_size]


def train_loader(
    dataset: CaseDataset,
    *,
    batch_size: int,
    balance: Balance,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Item]:
    """Load shuffled, full batches of the epoch set by ``dataset.set_epoch``, in an order by seed and epoch.

    Args:
        dataset: The training data.
        batch_size: Of the global batch; each rank gets its part.
        balance: See `epoch_order`.
        workers: Processes that load beside the one that trains. They start anew with every epoch, so that they see it.
        rank: This process, from 0.
        world_size: How many processes train.

    Raises:
        SettingsError: See `EpochBatches`.
    """
    batches = EpochBatches(dataset, batch_size=batch_size, balance=balance, rank=rank, world_size=world_size)
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, generator=torch.Generator())


def eval_loader(
    dataset: CaseDataset, *, batch_size: int, workers: int = 0, rank: int = 0, world_size: int = 1
) -> DataLoader[Item]:
    """Load all cases in their order; the last batch may be smaller.

    Args:
        dataset: The cases.
        batch_size: Of the global batch; each rank gets its part.
        workers: Processes that load beside this one.
        rank: This process, from 0.
        world_size: How many processes share the cases.

    Raises:
        SettingsError: If there are fewer cases than processes.
    """
    if len(dataset) < world_size:
        raise SettingsError(
            f"{len(dataset)} images for {world_size} processes; start at most as many processes as there are images"
        )
    return DataLoader(
        dataset,
        batch_size=-(-batch_size // world_size),
        sampler=range(rank, len(dataset), world_size),
        num_workers=workers,
        generator=torch.Generator(),
    )


def place_images(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move N x C x H x W images to the network's device, in the memory order that suits convolutions best.

    Channels last: on a CPU a third faster than PyTorch's own order for the networks used here.
    """
    return images.to(device, memory_format=torch.channels_last, non_blocking=True)


def _cycle(rows: Rows, count: int, generator: np.random.Generator) -> Rows:
    """Draw ``count`` of the rows: as many permutations of them as it takes, one after the other."""
    rounds = -(-count // len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)] or [rows])[:count]


def _count_repeats(order: Rows) -> list[Draw]:
    repeats: Counter[int] = Counter()
    draws = []
    for row in order.tolist():
        draws.append(Draw(row, repeats[row]))
        repeats[row] += 1
    return draws


def class_indices(samples: Sequence[Sample], classes: Sequence[str]) -> Rows:
    """Look up the index of each sample's diagnosis among the classes.

    Raises:
        DataError: If a diagnosis is not among them; names the row.
    """
    index = {name: position for position, name in enumerate(classes)}
    for row, sample in enumerate(samples):
        if sample.diagnosis not in index:
            raise DataError(
                f"{sample.path}: row {row} ({sample.image_id}) has the diagnosis '{sample.diagnosis}'; "
                f"expected one of {', '.join(classes)}"
            )
    return np.array([index[sample.diagnosis] for sample in samples], dtype=np.int64)


def _check_rows(
    samples: Sequence[Sample], labels: npt.NDArray[np.float32] | None, paths: Sequence[Paths] | None
) -> None:
    shape = None if labels is None else labels.shape
    if shape is not None and (len(shape) != 2 or shape[0] != len(samples)):
        raise DataError(f"concept labels of shape {shape} for {len(samples)} samples; expected one row per sample")
    if paths is None:
        return
    widths = {len(row) for row in paths} | ({shape[1]} if shape is not None else set())
    if len(paths) != len(samples) or len(widths) > 1:
        raise DataError(
            f"region paths for {len(paths)} of {len(samples)} samples, {sorted(widths)} per sample; "
            "expected one list per sample with one entry per concept"
        )
