"""Images of a cohort as a stored network wants them: its size, its normalisation, batches of its run."""

from collections.abc import Sequence
from typing import Any

from ignite import distributed as idist
from monai.transforms import Compose
from torch.utils.data import DataLoader

from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.loaders import CaseDataset, eval_loader, train_loader
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.data.transforms import eval_transforms, train_transforms
from pipeline.models.checkpoint import ModelDescription


def training_loader(
    settings: RunSettings, cohort: Cohort, description: ModelDescription, *, with_concepts: bool
) -> DataLoader[Any]:
    """Load this process's share of augmented, balanced batches of the training part.

    Args:
        settings: Batch size, balance, transforms and seed are read.
        cohort: Whose training part is loaded.
        description: Of the network that sees the images.
        with_concepts: Whether batches carry concept labels and regions.

    Raises:
        LeakError: If a training image is an example of a test image.
        SettingsError: If the batch is larger than the part, or cannot be divided among the processes.
    """
    transform = train_transforms(settings.transforms, description.mean, description.std)
    dataset = _training_data(settings, cohort, transform, with_concepts=with_concepts)
    return train_loader(dataset, balance=settings.training.balance, **_share(settings))


def alignment_loader(settings: RunSettings, cohort: Cohort, description: ModelDescription) -> DataLoader[Any]:
    """Load this process's share of the training images as evaluation sees them, with concept labels and regions.

    Raises:
        LeakError: If a training image is an example of a test image.
        SettingsError: If there are fewer images than processes.
    """
    transform = eval_transforms(settings.transforms, description.mean, description.std)
    return eval_loader(_training_data(settings, cohort, transform, with_concepts=True), **_share(settings))


def validation_loader(settings: RunSettings, cohort: Cohort, description: ModelDescription) -> DataLoader[Any]:
    """Load this process's share of the validation images, as evaluation sees them, with concept labels.

    Raises:
        SettingsError: If there are fewer images than processes.
    """
    dataset = _evaluation_data(settings, cohort, description, cohort.part(Part.VALIDATION))
    return eval_loader(dataset, **_share(settings))


def evaluation_loader(
    settings: RunSettings, cohort: Cohort, description: ModelDescription, samples: Sequence[Sample]
) -> DataLoader[Any]:
    """Load images as evaluation sees them, all of them and in order, with concept labels."""
    dataset = _evaluation_data(settings, cohort, description, samples)
    return eval_loader(dataset, batch_size=settings.training.batch_size, workers=settings.data.workers)


def _training_data(settings: RunSettings, cohort: Cohort, transform: Compose, *, with_concepts: bool) -> CaseDataset:
    samples = cohort.part(Part.TRAIN)
    cohort.refuse_test_images(samples)
    return CaseDataset(
        samples,
        cache=cohort.cache,
        transform=transform,
        classes=cohort.classes,
        concept_labels=cohort.concept_labels(samples) if with_concepts else None,
        region_paths=cohort.concept_regions(samples) if with_concepts else None,
        seed=settings.seed,
    )


def _evaluation_data(
    settings: RunSettings, cohort: Cohort, description: ModelDescription, samples: Sequence[Sample]
) -> CaseDataset:
    return CaseDataset(
        samples,
        cache=cohort.cache,
        transform=eval_transforms(settings.transforms, description.mean, description.std),
        classes=cohort.classes,
        concept_labels=cohort.concept_labels(samples),
        seed=settings.seed,
    )


def _share(settings: RunSettings) -> dict[str, int]:
    return {
        "batch_size": settings.training.batch_size,
        "workers": settings.data.workers,
        "rank": idist.get_rank(),
        "world_size": idist.get_world_size(),
    }
