"""The cohort of a run: samples that were read and checked, their split, and the concept release to train on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concepts.errors import DataError, ReleaseError, RunError, SettingsError
from concepts.release import Release, read_release, split_word, verify_images
from concepts.selection import (
    Finding,
    check_usable,
    declared_parents,
    label_table,
    refuse_held_out,
    refuse_orphans,
    region_table,
)
from pipeline.config import DataSettings, RunSettings
from pipeline.data.decoded import DecodedCache
from pipeline.data.duplicates import near_duplicates
from pipeline.data.sample import Sample
from pipeline.data.splits import Part, Split, check_split, group_ids, limit_samples, make_split, read_split
from pipeline.results.record import RunRecord
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent, Tracker


@dataclass(frozen=True)
class Cohort:
    """Everything about the images of a run, before any network sees them.

    Attributes:
        samples: All usable samples, in the source's order.
        classes: The diagnoses, in the order of the network's outputs.
        split: Which part each image is in; no group is in two.
        release: The concept release.
        concepts: Identifiers of the concepts in axis order.
        root: Folder to which the release's region paths are relative.
        cache: Decoded images.
        findings: Concepts that can be trained on but not assessed, with the reason.
        unmarked_is_absent: Whether an image in which a concept was not marked counts as a weak negative.
    """

    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    split: Split
    release: Release
    concepts: tuple[str, ...]
    root: Path
    cache: DecodedCache
    findings: tuple[Finding, ...]
    unmarked_is_absent: bool

    def part(self, part: Part) -> list[Sample]:
        """Return the samples of one part, in the cohort's order."""
        image_ids = set(self.split.image_ids(part))
        return [sample for sample in self.samples if sample.image_id in image_ids]

    def refuse_test_images(self, samples: Sequence[Sample]) -> None:
        """Refuse to learn from samples whose concept examples belong to test images, by name or by content.

        Raises:
            LeakError: If there are any.
        """
        names = {sample.image_id for sample in samples}
        test = self.part(Part.TEST)
        held_out = {sample.image_id for sample in test} | {sample.digest for sample in test}
        refuse_held_out((example for example in self.release.examples if example.image_id in names), held_out)

    def groups(self, samples: Sequence[Sample]) -> list[str]:
        """Return the group (patient, lesion or near-duplicates) of each sample."""
        return [self.split.groups[sample.image_id] for sample in samples]

    def concept_labels(self, samples: Sequence[Sample]) -> NDArray[np.float64]:
        """Return what the release says of each concept in each sample, N x k: 1 present, 0 absent, NaN not known."""
        names = [sample.image_id for sample in samples]
        return label_table(self.release, names, concepts=self.concepts, unmarked_is_absent=self.unmarked_is_absent)

    def concept_regions(self, samples: Sequence[Sample]) -> list[list[Path | None]]:
        """Return the mask file of each concept in each sample, or None."""
        names = [sample.image_id for sample in samples]
        return region_table(self.release, names, concepts=self.concepts, root=self.root)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the images' digests and labels."""
        lines = sorted(f"{sample.image_id} {sample.digest} {sample.diagnosis}" for sample in self.samples)
        return sha256("\n".join(lines).encode()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """Count images, groups and diagnoses by part, for the report."""
        return {
            "source": self.samples[0].source,
            "parts": {str(part): _counts(self.part(part), self.split) for part in Part},
        }


def prepare_cohort(
    settings: RunSettings, *, tracker: Tracker, split: Split | None = None, release: Release | None = None
) -> Cohort:
    """Load, read, check, group and split the images, and read or freeze the release.

    Every image is decoded here, once; all that cannot be read are reported together, before anything is trained.

    Args:
        settings: The experiment.
        tracker: Where progress is shown.
        split: The split of a run that is resumed; default: a new one.
        release: The release of a run that is resumed; default: as `read_or_freeze` gives it.

    Raises:
        DataError: If samples or images cannot be used; ``rows`` of the exception lists them all.
        ReleaseError: If the release cannot be used with these images.
    """
    data_root(settings.data, tracker)
    samples = load_samples(settings)
    cache = decoded_cache(settings)
    decode(samples, cache, workers=settings.data.workers, tracker=tracker)
    groups = group_ids(samples, duplicate_labels(samples, cache, bits=settings.data.split.near_duplicate_bits))
    split = split or _new_split(settings, samples, groups)
    check_split(split, samples, groups)
    release = release or read_or_freeze(settings, samples)
    train = split.image_ids(Part.TRAIN)
    concepts = settings.concepts.names or release.concept_ids
    subspaces = settings.concepts.subspaces
    configured = {child: parent for parent, subspace in subspaces.items() for child in subspace.children}
    refuse_orphans(release, declared_parents(release, concepts) | configured)
    findings = check_usable(
        release,
        train,
        concepts=concepts,
        unmarked_is_absent=settings.concepts.unmarked_is_absent,
        minimum=settings.concepts.minimum_positives,
    )
    return Cohort(
        samples=tuple(samples),
        classes=tuple(sorted({sample.diagnosis for sample in samples})),
        split=split,
        release=release,
        concepts=tuple(concepts),
        root=region_root(settings, release),
        cache=cache,
        findings=findings,
        unmarked_is_absent=settings.concepts.unmarked_is_absent,
    )


def load_samples(settings: RunSettings) -> list[Sample]:
    """Load the samples of the settings' data source, filtered and limited as the settings ask.

    Raises:
        DataError: If the source cannot be read or fewer than two diagnoses are left.
    """
    samples = _load(settings.data)
    selected = settings.data.diagnoses
    if selected is not None:
        _refuse_unknown_diagnoses(selected, samples)
        samples = [sample for sample in samples if sample.diagnosis in selected]
    if settings.data.limit is not None:
        samples = limit_samples(samples, settings.data.limit, settings.seed)
    diagnoses = sorted({sample.diagnosis for sample in samples})
    if len(diagnoses) < 2:
        raise DataError(
            f"{settings.data.root}: a classifier needs at least two diagnoses; this cohort has "
            f"{', '.join(diagnoses) or 'none'}; change data.diagnoses or the data set"
        )
    return samples


def data_root(settings: DataSettings, tracker: Tracker | None = None) -> Path:
    """Return the folder of the data set; a phantom cohort that does not exist yet is generated first.

    Raises:
        SettingsError: If the source needs ``data.root`` and there is none.
        DataError: If the folder does not exist.
    """
    if settings.source == "phantom":
        return _phantom_root(settings, tracker or Silent())
    if settings.root is None:
        raise SettingsError(f"data.source={settings.source} needs the folder of the data set: give data.root=FOLDER")
    root = settings.root.expanduser()
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; data.root must name the folder of the {settings.source} data")
    return root


def decoded_cache(settings: RunSettings) -> DecodedCache:
    """Return the cache of decoded images for the settings' transforms."""
    return DecodedCache(
        settings.data.cache.expanduser() / "decoded",
        size=settings.transforms.size + settings.transforms.margin,
        fit=settings.transforms.fit,
        max_pixels=settings.data.max_pixels,
    )


def decode(samples: Sequence[Sample], cache: DecodedCache, *, workers: int, tracker: Tracker) -> None:
    """Decode all images into the cache.

    Raises:
        DataError: If any cannot be decoded; ``rows`` of the exception names each with its reason.
    """
    with tracker.task("reading images", len(samples)) as advance:
        bad = cache.fill(samples, workers=max(2, workers), progress=advance)
    if bad:
        raise DataError(
            f"{len(bad)} of {len(samples)} images cannot be read, the first: {bad[0].reason}; repair or remove them",
            rows=[f"row {row.row + 1}: {row.reason}" for row in bad],
        )


def duplicate_labels(samples: Sequence[Sample], cache: DecodedCache, *, bits: int) -> NDArray[np.int64] | None:
    """Find the near-duplicate group of each sample; None where the source knows every patient."""
    if all(sample.patient_id is not None for sample in samples):
        return None
    return near_duplicates((cache.get(sample) for sample in samples), bits=bits)


def read_or_freeze(settings: RunSettings, samples: Sequence[Sample]) -> Release:
    """Read the release that the settings name, or freeze one from the masks of the data source."""
    if settings.concepts.release is not None:
        release = _named_release(settings.concepts.release, settings)
        verify_images(release, {sample.image_id: sample.digest for sample in samples})
        return release
    return source_release(settings, samples)


def region_root(settings: RunSettings, release: Release) -> Path:
    """Return the folder of the release's masks: that of the release where they lie beside it, else the data set's."""
    named = settings.concepts.release
    region = next((example.region for example in release.examples if example.region is not None), None)
    if named is None or region is None:
        return data_root(settings.data)
    folder = _release_folder(named, settings)
    if _is_in_store(named) and not (folder / region.path).is_file():
        _named_release(named, settings)
    return folder if (folder / region.path).is_file() else data_root(settings.data)


def source_release(settings: RunSettings, samples: Sequence[Sample]) -> Release:
    """Freeze the concept masks that came with the data.

    Raises:
        ReleaseError: If the source has none.
    """
    root = data_root(settings.data)
    digests = {sample.image_id: sample.digest for sample in samples}
    match settings.data.source:
        case "isic2018":
            from concepts.sources.isic2018 import isic2018_release

            return isic2018_release(root, digests)
        case "phantom":
            from concepts.sources.phantom import phantom_release

            return phantom_release(root, digests)
        case source:
            raise ReleaseError(
                f"data.source={source} has no concept masks of its own: give concepts.release=FILE "
                "(made with 'dermaxis concepts freeze' or exported from a concept store)"
            )


def _named_release(named: Path, settings: RunSettings) -> Release:
    if not _is_in_store(named):
        return read_release(named.expanduser())
    from concepts.curation.releasing import resolve_release

    return resolve_release(str(named), None, _release_folder(named, settings))


def _is_in_store(named: Path) -> bool:
    return split_word(str(named)) is not None and not named.exists()


def _release_folder(named: Path, settings: RunSettings) -> Path:
    return settings.data.cache.expanduser() / "releases" / named if _is_in_store(named) else named.expanduser().parent


def _new_split(settings: RunSettings, samples: Sequence[Sample], groups: Sequence[str]) -> Split:
    shares = settings.data.split
    return make_split(samples, groups=groups, validation=shares.validation, test=shares.test, seed=settings.seed)


def _load(settings: DataSettings) -> list[Sample]:
    root = data_root(settings)
    match settings.source:
        case "phantom":
            from pipeline.data.sources.phantom import load_phantom

            return load_phantom(root)
        case "isic2018":
            from pipeline.data.sources.isic2018 import load_isic2018

            return load_isic2018(root)
        case "isic":
            from pipeline.data.sources.isic import load_isic

            return load_isic(root)


def _phantom_root(settings: DataSettings, tracker: Tracker) -> Path:
    from pipeline.data.phantom.cohort import generate_cohort, phantom_digest

    digest = phantom_digest(settings.phantom)
    root = settings.root or settings.cache.expanduser() / "phantom" / digest
    if not (root / "phantom.json").is_file():
        with tracker.task("drawing lesions", settings.phantom.images) as advance:
            generate_cohort(settings.phantom, root, progress=advance)
    return root


def _refuse_unknown_diagnoses(selected: Sequence[str], samples: Sequence[Sample]) -> None:
    available = sorted({sample.diagnosis for sample in samples})
    unknown = [diagnosis for diagnosis in selected if diagnosis not in available]
    if unknown:
        raise SettingsError(f"data.diagnoses: {', '.join(unknown)} not in this cohort; it has {', '.join(available)}")


def _recorded_digest(run: RunFolder) -> str | None:
    digests = run.read(RunRecord).digests
    return None if digests is None else digests.data


def reopen_cohort(settings: RunSettings, run: RunFolder, *, tracker: Tracker) -> Cohort:
    """Prepare the cohort of a run that was started before, with its split and its release.

    Raises:
        RunError: If images or labels changed since.
    """
    split, release = read_split(run.file("split.csv")), read_release(run.file("release.json"))
    cohort = prepare_cohort(settings, tracker=tracker, split=split, release=release)
    if _recorded_digest(run) != cohort.digest:
        raise RunError(f"{run.path}: the images or labels changed since this run was started; start a new run")
    return cohort


def _counts(samples: Sequence[Sample], split: Split) -> dict[str, Any]:
    return {
        "images": len(samples),
        "groups": len({split.groups[sample.image_id] for sample in samples}),
        "diagnoses": dict(sorted(Counter(sample.diagnosis for sample in samples).items())),
    }
