import hashlib
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from concepts.errors import DataError, ImageError, SettingsError
from pipeline.choices import Balance, Fit
from pipeline.config import TransformSettings
from pipeline.data.decoded import DecodedCache
from pipeline.data.loaders import CaseDataset, Draw, epoch_order, eval_loader, train_loader
from pipeline.data.sample import Sample
from pipeline.data.transforms import eval_transforms, train_transforms

SETTINGS = TransformSettings(size=32, margin=8)
UNITS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CLASSES = ("melanoma", "nevus")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cases")


@pytest.fixture(scope="module")
def samples(folder):
    """Twelve images of noise; every fourth a melanoma."""
    generator = np.random.default_rng(0)
    rows = []
    for row in range(12):
        path = folder / f"{row}.png"
        Image.fromarray(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        diagnosis = CLASSES[int(row % 4 > 0)]
        rows.append(Sample(image_id=str(row), path=path, digest=digest, diagnosis=diagnosis, source="test"))
    return rows


@pytest.fixture(scope="module")
def cache(folder):
    return DecodedCache(folder / "cache", size=40, fit=Fit.SQUASH)


@pytest.fixture
def dataset(samples, cache):
    return CaseDataset(samples, cache=cache, transform=train_transforms(SETTINGS, *UNITS), classes=CLASSES, seed=3)


def batches(loader):
    return [{key: value.clone() for key, value in batch.items()} for batch in loader]


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_item(dataset):
    item = dataset[1]
    assert item.keys() == {"image", "label", "index"}
    assert item["image"].shape == (3, 32, 32)
    assert (item["label"], item["index"]) == (1, 1)
    assert dataset.labels.tolist() == [int(row % 4 > 0) for row in range(12)]


def test_item_depends_on_seed_epoch_row_and_repeat_alone(dataset, samples, cache):
    first = dataset[5]["image"]
    dataset[2]
    assert torch.equal(dataset[5]["image"], first)
    assert torch.equal(dataset[Draw(5, 0)]["image"], first)
    assert not torch.equal(dataset[Draw(5, 1)]["image"], first)
    dataset.set_epoch(1)
    assert not torch.equal(dataset[5]["image"], first)
    dataset.set_epoch(0)
    assert torch.equal(dataset[5]["image"], first)
    other = CaseDataset(samples, cache=cache, transform=train_transforms(SETTINGS, *UNITS), classes=CLASSES, seed=4)
    assert not torch.equal(other[5]["image"], first)


def test_rows_differ_in_their_random_numbers(samples, cache):
    same = [samples[0]] * 8
    dataset = CaseDataset(same, cache=cache, transform=train_transforms(SETTINGS, *UNITS), classes=CLASSES)
    assert len({dataset[row]["image"].numpy().tobytes() for row in range(8)}) == 8


def test_concepts_and_regions(samples, cache, folder):
    path = folder / "mask.png"
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[4:36, 4:20] = 255  # the left half of the central 32 pixels
    Image.fromarray(mask).save(path)
    labels = np.full((12, 4), np.nan)
    labels[0] = (1, 0, 1, np.nan)
    paths = [[None] * 4 for _ in samples]
    paths[0][0] = path
    dataset = CaseDataset(
        samples,
        cache=cache,
        transform=eval_transforms(SETTINGS, *UNITS),
        classes=CLASSES,
        concept_labels=labels,
        region_paths=paths,
    )
    item = dataset[0]
    np.testing.assert_array_equal(item["concepts"].numpy(), np.float32([1, 0, 1, np.nan]))
    assert item["concepts"].dtype == torch.float32
    marked, absent, unmarked, unknown = item["regions"]
    assert item["regions"].shape == (4, 8, 8)
    np.testing.assert_allclose(marked.numpy(), np.repeat([[1, 0]], 8, axis=0).repeat(4, axis=1), atol=1e-6)
    assert (absent == 0).all()
    assert unmarked.isnan().all()
    assert unknown.isnan().all()
    batch = next(iter(eval_loader(dataset, batch_size=12)))
    assert batch["regions"].shape == (12, 4, 8, 8)
    assert batch["concepts"].shape == (12, 4)


def test_regions_without_labels_are_nan_where_there_is_no_mask(samples, cache):
    dataset = CaseDataset(
        samples,
        cache=cache,
        transform=eval_transforms(SETTINGS, *UNITS),
        classes=CLASSES,
        region_paths=[[None, None]] * 12,
    )
    assert dataset[0]["regions"].isnan().all()


def test_evaluation_goes_through_all_in_order(samples, cache):
    dataset = CaseDataset(samples, cache=cache, transform=eval_transforms(SETTINGS, *UNITS), classes=CLASSES)
    loader = eval_loader(dataset, batch_size=5)
    seen = batches(loader)
    assert [len(batch["index"]) for batch in seen] == [5, 5, 2]
    assert torch.cat([batch["index"] for batch in seen]).tolist() == list(range(12))
    assert seen[0]["label"].dtype == torch.int64
    dataset.set_epoch(7)
    assert_same(seen, batches(loader))


def test_training_uses_full_batches_and_every_row_at_most_once(dataset):
    loader = train_loader(dataset, batch_size=5, balance=Balance.NONE)
    seen = batches(loader)
    assert len(loader) == 2
    assert [len(batch["index"]) for batch in seen] == [5, 5]
    assert len(set(torch.cat([batch["index"] for batch in seen]).tolist())) == 10


def test_epochs_differ_and_come_again(dataset):
    loader = train_loader(dataset, batch_size=4, balance=Balance.SAMPLER)
    first = batches(loader)
    assert_same(first, batches(loader))
    dataset.set_epoch(1)
    second = batches(loader)
    assert torch.cat([b["index"] for b in first]).tolist() != torch.cat([b["index"] for b in second]).tolist()
    dataset.set_epoch(0)
    assert_same(first, batches(loader))


@pytest.mark.filterwarnings("ignore:This process.*multi-threaded")
def test_workers_change_nothing(dataset):
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        alone = batches(train_loader(dataset, batch_size=4, balance=Balance.SAMPLER))
        assert_same(alone, batches(train_loader(dataset, batch_size=4, balance=Balance.SAMPLER, workers=2)))


def test_dataset_can_be_sent_to_a_worker(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy[3]["image"], dataset[3]["image"])


def test_ranks_share_the_global_batch(dataset):
    whole = batches(train_loader(dataset, batch_size=4, balance=Balance.SAMPLER))
    parts = [
        batches(train_loader(dataset, batch_size=4, balance=Balance.SAMPLER, rank=rank, world_size=2))
        for rank in range(2)
    ]
    for batch, *halves in zip(whole, *parts, strict=True):
        for rank, half in enumerate(halves):
            assert all(torch.equal(half[key], batch[key][rank::2]) for key in batch)


def test_loaders_leave_the_global_random_numbers_alone(dataset):
    state = torch.get_rng_state()
    batches(train_loader(dataset, batch_size=4, balance=Balance.SAMPLER))
    batches(eval_loader(dataset, batch_size=4))
    assert torch.equal(torch.get_rng_state(), state)


def test_order_is_a_permutation_without_balance():
    order = epoch_order([0, 0, 0, 1], balance=Balance.WEIGHTS, seed=0, epoch=0)
    assert sorted(order.tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_balanced_order_gives_equal_shares_and_uses_rows_evenly(seed):
    labels = np.repeat([0, 1, 4], [70, 25, 5])
    order = epoch_order(labels, balance=Balance.SAMPLER, seed=seed, epoch=2)
    assert len(order) == 100
    shares = np.bincount(labels[order], minlength=5)[[0, 1, 4]]
    assert shares.sum() == 100
    assert np.ptp(shares) <= 1
    for label in (0, 1, 4):
        uses = np.bincount(order, minlength=100)[labels == label]
        assert np.ptp(uses) <= 1
    assert np.ptp(np.bincount(labels[order[:50]])[[0, 1, 4]]) < 20


def test_repeats_in_a_balanced_epoch_are_transformed_anew(samples, cache):
    few = [samples[0], *(sample for sample in samples if sample.diagnosis == "nevus")]
    dataset = CaseDataset(few, cache=cache, transform=train_transforms(SETTINGS, *UNITS), classes=CLASSES)
    images = torch.cat(
        [b["image"][b["label"] == 0] for b in train_loader(dataset, batch_size=10, balance=Balance.SAMPLER)]
    )
    assert len(images) == 5
    assert len({image.numpy().tobytes() for image in images}) == 5


def test_too_few_images_for_a_batch(dataset):
    with pytest.raises(SettingsError, match=r"training\.batch_size is 13 but there are 12 training images"):
        train_loader(dataset, batch_size=13, balance=Balance.NONE)
    with pytest.raises(SettingsError, match="3 processes cannot share"):
        train_loader(dataset, batch_size=4, balance=Balance.NONE, world_size=3)


def test_unknown_diagnosis_names_the_row(samples, cache):
    with pytest.raises(DataError, match=r"1\.png: row 1 \(1\) has the diagnosis 'nevus'; expected one of melanoma"):
        CaseDataset(samples, cache=cache, transform=eval_transforms(SETTINGS, *UNITS), classes=["melanoma"])


@pytest.mark.parametrize(
    "extra",
    [
        {"concept_labels": np.zeros((11, 2))},
        {"concept_labels": np.zeros(12)},
        {"region_paths": [[None]] * 11},
        {"region_paths": [[None]] * 11 + [[None, None]]},
        {"concept_labels": np.zeros((12, 2)), "region_paths": [[None]] * 12},
    ],
)
def test_labels_and_paths_must_fit_the_samples(samples, cache, extra):
    with pytest.raises(DataError, match="12 samples"):
        CaseDataset(samples, cache=cache, transform=eval_transforms(SETTINGS, *UNITS), classes=CLASSES, **extra)


def test_missing_file_is_an_image_error(samples, cache, tmp_path):
    absent = Sample(image_id="x", path=tmp_path / "x.png", digest="0" * 64, diagnosis="nevus", source="test")
    dataset = CaseDataset([absent], cache=cache, transform=eval_transforms(SETTINGS, *UNITS), classes=CLASSES)
    with pytest.raises(ImageError, match=r"x\.png: no such file"):
        dataset[0]
