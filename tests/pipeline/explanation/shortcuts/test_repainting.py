"""Phantom images drawn again: the same as the files where nothing is changed, and what they were without a shortcut."""

import numpy as np
import pytest
import torch

from pipeline.config import parse_overrides
from pipeline.data.cohort import data_root, decode, decoded_cache, load_samples
from pipeline.data.phantom.lesion import ARTEFACTS
from pipeline.data.phantom.patients import counterpart, throw_cohort
from pipeline.data.transforms import eval_transforms
from pipeline.explanation.shortcuts.repainting import network_view, painted_lesions, with_artefact
from pipeline.models.checkpoint import ModelDescription
from pipeline.run.progress import Silent

SHORTCUT = ["data.phantom.shortcut.artefact=ink", "data.phantom.shortcut.diagnosis=melanoma"]


def settings(folder, *more):
    small = ["data.phantom.images=8", "data.phantom.size=64", "transforms.size=48", "transforms.margin=6"]
    return parse_overrides([*small, f"data.root={folder / 'phantom'}", f"data.cache={folder / 'cache'}", *more])


def describe(made):
    return ModelDescription(
        architecture="resnet18",
        width=0.25,
        classes=("nevus", "melanoma"),
        size=made.transforms.size,
        fit=made.transforms.fit,
        margin=made.transforms.margin,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.3),
    )


def test_a_lesion_drawn_again_is_what_the_network_saw(tmp_path):
    made = settings(tmp_path)
    data_root(made.data, Silent())
    samples = load_samples(made)
    cache = decoded_cache(made)
    decode(samples, cache, workers=1, tracker=Silent())
    description = describe(made)
    transform = eval_transforms(made.transforms, description.mean, description.std)
    seen = torch.stack([transform({"image": cache.get(sample)})["image"] for sample in samples])
    drawn = network_view(description, painted_lesions(made.data, samples))
    assert torch.equal(drawn, seen)


def test_an_artefact_put_in_and_taken_out_leaves_the_image_as_it_was():
    made = parse_overrides(["data.phantom.images=6", "data.phantom.size=64", "transforms.size=64"])
    for image in throw_cohort(made.data.phantom):
        for name in ARTEFACTS:
            there, gone = (with_artefact(image.lesion, name, present=present) for present in (True, False))
            assert there.artefacts - gone.artefacts == {name}
            assert image.lesion in (there, gone)
            assert with_artefact(there, name, present=False) == gone


def test_without_the_shortcut_the_lesions_are_those_of_the_cohort_that_never_had_one():
    tied = parse_overrides(["data.phantom.images=60", *SHORTCUT, "data.phantom.shortcut.strength=1.0"])
    never = parse_overrides(["data.phantom.images=60"])
    with_it, without = ([image.lesion for image in throw_cohort(each.data.phantom)] for each in (tied, never))
    assert with_it != without
    assert [counterpart(lesion) for lesion in with_it] == without
    assert [counterpart(lesion) for lesion in without] == without


def test_only_the_phantom_can_be_drawn_again():
    assert painted_lesions(parse_overrides(["data.source=isic2018", "data.root=nowhere"]).data, []) == []


@pytest.mark.parametrize("name", ARTEFACTS)
def test_every_artefact_changes_what_the_network_sees(name):
    """The margin that evaluation cuts off must not hold all of an artefact: it could then never be a shortcut."""
    made = parse_overrides(
        ["data.phantom.images=12", "data.phantom.size=64", "transforms.size=64", "transforms.margin=0"]
    )
    lesions = [image.lesion for image in throw_cohort(made.data.phantom)]
    there, gone = (
        network_view(describe(made), [with_artefact(lesion, name, present=present) for lesion in lesions]).numpy()
        for present in (True, False)
    )
    assert (np.abs(there - gone) > 0.5).mean() >= 0.002
