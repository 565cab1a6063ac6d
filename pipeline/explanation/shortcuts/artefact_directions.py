"""The directions of every labelled artefact in a layer, from the training images."""

import numpy as np
from numpy.typing import NDArray

from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.shortcuts.artefact_space import (
    ArtefactSpace,
    ContrastMoments,
    artefact_space,
    axis_space,
    contrast_weights,
    joined,
    permuted_inside,
)
from pipeline.explanation.shortcuts.artefacts import ArtefactLabels, own_axis
from pipeline.run.progress import Tracker

DEALS = 20
"""How often an artefact's labels are dealt at random, for what chance gives."""
Values = NDArray[np.float64]


def artefact_directions(
    network: ExplainedNetwork,
    labels: ArtefactLabels,
    *,
    generator: np.random.Generator,
    tracker: Tracker,
) -> tuple[ArtefactSpace, ...]:
    """Where the layer has each artefact: along any of its directions, and its own axis where it is a named concept.

    One pass over the images serves all artefacts. Axes of other concepts are not left out: a network that learns to
    read a diagnosis from hair does so along whatever axes respond to hair, those of streaks or network among them.

    Args:
        network: Cut at its layer.
        labels: Of the A artefacts in the N training images, N x A.
        generator: Deals the labels.
        tracker: Where progress is shown.
    """
    diagnoses = class_indices(network.cohort.part(Part.TRAIN), network.cohort.classes)
    moments = ContrastMoments(_weights(labels.table, diagnoses, generator), network.channels)
    for maps in network.train_maps(tracker):
        moments.add(maps)
    spaces = []
    for row, name in enumerate(labels.names):
        first = len(labels.names) + row * DEALS
        space = artefact_space(moments, row, chance=range(first, first + DEALS))
        axis = own_axis(network.cohort, name)
        if axis is not None:
            space = joined([axis_space(axis, network.channels), space], network.channels)
        spaces.append(space)
    return tuple(spaces)


def _weights(table: Values, diagnoses: NDArray[np.int64], generator: np.random.Generator) -> Values:
    """A contrasts of the labels, then `DEALS` contrasts of the first artefact's dealt labels, and so on."""
    weights = [contrast_weights(column, diagnoses) for column in table.T]
    for column in table.T:
        weights += [contrast_weights(permuted_inside(column, diagnoses, generator), diagnoses) for _ in range(DEALS)]
    return np.array(weights)
