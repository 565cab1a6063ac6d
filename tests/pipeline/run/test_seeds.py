"""Random streams: named, repeatable, and all different."""

import itertools

import pytest

from pipeline.run.seeds import Stream, random_generator, torch_seed


def first_numbers(seed, stream, *index):
    return tuple(random_generator(seed, stream, *index).integers(2**62, size=4).tolist())


def test_every_stream_of_every_seed_and_index_differs():
    keys = list(itertools.product((0, 1, 2), Stream, ((), (0,), (1,), (0, 0), (0, 1))))
    assert len({first_numbers(seed, stream, *index) for seed, stream, index in keys}) == len(keys)
    assert len({torch_seed(seed, stream, *index) for seed, stream, index in keys}) == len(keys)


def test_no_number_is_given_twice():
    # An IntEnum takes a number that was given already as an alias, without an error.
    assert len(Stream.__members__) == len(set(Stream))


@pytest.mark.parametrize("stream", Stream)
def test_a_stream_is_the_same_each_time(stream):
    assert first_numbers(3, stream, 5) == first_numbers(3, stream, 5)
    assert torch_seed(3, stream, 5) == torch_seed(3, stream, 5)
    assert 0 <= torch_seed(3, stream, 5) < 2**32
