"""An explained network: what it gives is that of its own images, computed once, cut so that both sides make a whole."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_networks import MadeNetwork, chance, made_maps, made_network, made_parts
from fakes import made_data

from pipeline.config import parse_overrides
from pipeline.data.splits import Part
from pipeline.explanation import explained_network
from pipeline.explanation.explained_network import display_of, masks_of
from pipeline.run.progress import Silent

CLASSES = ("melanoma", "nevus")
WEIGHTS = [[1.0, 0.0, 2.0], [0.0, -1.0, 0.0]]


def data_of(part, count):
    return made_data([CLASSES[row % 2] for row in range(count)], part=part)


@pytest.fixture
def loads():
    return []


@pytest.fixture
def network(loads):
    parts = made_parts(data_of(Part.TEST, 5), train=data_of(Part.TRAIN, 9), validation=data_of(Part.VALIDATION, 3))
    random = chance(0)
    images = {part: random(count, 3, 2, 2) for part, count in ((Part.TEST, 5), (Part.TRAIN, 9), (Part.VALIDATION, 3))}
    network = made_network(MadeNetwork(WEIGHTS, ["streaks"]), parts, images, loads=loads)
    object.__setattr__(network, "images", images)
    return network


def test_both_sides_of_the_cut_make_the_network(network):
    images = network.images[Part.TEST]
    maps, rest = network.head(images)
    torch.testing.assert_close(network.tail(maps, rest), network.module(images))
    torch.testing.assert_close(maps, images)


@pytest.mark.parametrize(("part", "give"), [(Part.TEST, "test_outputs"), (Part.VALIDATION, "validation_outputs")])
def test_outputs_of_a_part_are_those_of_its_images_in_order_and_computed_once(network, loads, part, give):
    outputs = getattr(network, give)(Silent())
    torch.testing.assert_close(outputs.maps, network.images[part])
    torch.testing.assert_close(outputs.logits, network.module(network.images[part]).detach())
    assert getattr(network, give)(Silent()) is outputs
    assert loads == [len(network.images[part])]


def test_training_maps_are_those_of_the_training_images_and_computed_once(network, loads):
    first, again = (torch.cat(list(network.train_maps(Silent()))) for _ in range(2))
    torch.testing.assert_close(first, network.images[Part.TRAIN])
    assert torch.equal(first, again)
    assert loads == [9]


@pytest.mark.parametrize(("most", "runs"), [(9 * 3 * 4 * 4, 1), (9 * 3 * 4 * 4 - 1, 2)])
def test_training_maps_are_kept_only_where_memory_holds_all_of_them(network, loads, monkeypatch, most, runs):
    monkeypatch.setattr(explained_network, "MOST_CACHED_BYTES", most)
    first, again = (torch.cat(list(network.train_maps(Silent()))) for _ in range(2))
    assert torch.equal(first, again)
    assert len(loads) == runs


def test_training_maps_that_were_not_read_to_the_end_are_read_anew(network):
    next(iter(network.train_maps(Silent())))
    assert len(torch.cat(list(network.train_maps(Silent())))) == 9


def test_a_changed_copy_has_nothing_of_what_the_network_gave(network):
    before = network.test_outputs(Silent()).logits
    changed = replace(network, module=deepcopy(network.module))
    with torch.no_grad():
        changed.module.read.weight.mul_(2)
    torch.testing.assert_close(changed.test_outputs(Silent()).logits, 2 * before)
    torch.testing.assert_close(changed.tail(*changed.head(network.images[Part.TEST])), 2 * before)
    torch.testing.assert_close(network.test_outputs(Silent()).logits, before)


def test_outputs_are_averaged_over_the_turns_of_an_image(network):
    turned = replace(network, turns=4)
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0, 0, 0] = 4.0
    maps, _ = turned.head(image)
    torch.testing.assert_close(maps, image, msg="turned back before they are averaged")
    assert turned.test_outputs(Silent()).maps.shape == (5, 3, 2, 2)


def test_the_layer_says_how_many_axes_there_are(network):
    assert network.channels == 3
    assert network.whitening.concepts == ("streaks",)
    assert network.device == torch.device("cpu")


def test_made_maps_have_the_means_asked_for():
    assert made_maps([[1.0, 2.0]]).mean(dim=(2, 3)).tolist() == [[1.0, 2.0]]


class Cache:
    """Images of 36 x 36 pixels: ten times the last digit of the name, plus the row; even masks."""

    def get(self, sample):
        return (
            np.full((36, 36, 3), 10 * int(sample.image_id[-1]), np.uint8) + np.arange(36, dtype=np.uint8)[:, None, None]
        )

    def get_masks(self, sample, paths):
        assert isinstance(paths, tuple)
        values = [0 if path is None else int(path.stem) for path in paths]
        return np.stack([np.full((9, 9), value, np.uint8) for value in values])


TRANSFORMS = parse_overrides(["transforms.size=32", "transforms.margin=4"]).transforms


def test_people_see_what_the_network_sees():
    (_, sample) = made_data(["nevus"] * 2).samples
    picture = display_of(TRANSFORMS, Cache())(sample)
    assert picture.shape == (32, 32, 3)
    assert picture[:, 0, 0].tolist() == list(range(12, 44)), "the margin is cropped on both sides"


def test_masks_are_shares_and_nan_where_there_is_no_file():
    (sample,) = made_data(["nevus"]).samples
    planes = masks_of(TRANSFORMS, Cache())(sample, [Path("255.png"), None, Path("51.png")])
    assert planes.shape == (3, 8, 8)
    torch.testing.assert_close(planes[0], torch.ones(8, 8))
    assert planes[1].isnan().all()
    torch.testing.assert_close(planes[2], torch.full((8, 8), 0.2))
