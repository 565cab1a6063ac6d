"""Concepts that own a subspace: a parent, its sub-concepts, and axes for what else varies inside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.whitening.errors import LabelsError, WhiteningError


@dataclass(frozen=True, slots=True)
class Subspace:
    """A concept with axes of its own: one for itself, one for each sub-concept, and free ones.

    Attributes:
        parent: Name of the concept, e.g. ``pigment_network``.
        children: Names of its sub-concepts, e.g. ``typical_network`` and ``atypical_network``; they may exclude each
            other or not. Where a child is present, so is the parent.
        free: Axes without a name for what else varies among the images that show the parent.

    Raises:
        WhiteningError: If a name occurs twice, ``free`` is negative, or there is nothing in it but the parent.

    Example:
        >>> Subspace("pigment_network", ("typical_network", "atypical_network"), free=1).names
        ('pigment_network', 'typical_network', 'atypical_network')
    """

    parent: str
    children: tuple[str, ...] = ()
    free: int = 0

    def __post_init__(self) -> None:
        if len({self.parent, *self.children}) <= len(self.children):
            raise WhiteningError(f"subspace of '{self.parent}': a name occurs twice in it; name each concept once")
        if self.free < 0 or not (self.children or self.free):
            raise WhiteningError(
                f"subspace of '{self.parent}': {len(self.children)} children and {self.free} free axes; give it a "
                "child or a free axis, or leave it out: a concept without either has an axis anyway"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The parent and its children."""
        return (self.parent, *self.children)

    def to_json(self) -> dict[str, Any]:
        """Return the subspace as a JSON object; ``Subspace.from_json`` reads it back."""
        return {"parent": self.parent, "children": list(self.children), "free": self.free}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Subspace":
        """Make a subspace of what `to_json` gave."""
        return cls(content["parent"], tuple(content["children"]), int(content["free"]))


@dataclass(frozen=True, slots=True)
class AxisLayout:
    """Which axis is whose.

    First come the k named axes, in the order of the concepts, so that column j of any table of labels belongs to axis
    j whether there are subspaces or not; then the free axes of each subspace, in the order of the subspaces; then the
    free axes that belong to nobody. (The axes of one subspace need not be neighbours: rows of a rotation have no
    order of their own.)

    Attributes:
        concepts: Names of the named axes.
        subspaces: Of concepts that own more than one axis; the other concepts have one axis each and nothing else.

    Raises:
        WhiteningError: If a name of a subspace is not a concept, or is in two of them.

    Example:
        >>> network = Subspace("network", ("typical",), free=1)
        >>> layout = AxisLayout(("streaks", "network", "typical"), (network,))
        >>> layout.axes(network), layout.upper, layout.parents
        ([1, 2, 3], [0, 1], {2: 1})
    """

    concepts: tuple[str, ...]
    subspaces: tuple[Subspace, ...] = ()

    def __post_init__(self) -> None:
        owned = [name for subspace in self.subspaces for name in subspace.names]
        unknown = [name for name in owned if name not in self.concepts]
        if unknown:
            raise WhiteningError(
                f"subspaces name '{unknown[0]}', which is no concept of the layer; the concepts are: "
                f"{', '.join(self.concepts) or 'none'}"
            )
        twice = [name for name in owned if owned.count(name) > 1]
        if twice:
            raise WhiteningError(
                f"'{twice[0]}' is in two subspaces; a concept has one parent, and no child is a parent"
            )

    @property
    def owned(self) -> int:
        """The number of axes that are named or belong to a subspace; the others are free."""
        return len(self.concepts) + sum(subspace.free for subspace in self.subspaces)

    @property
    def parents(self) -> dict[int, int]:
        """The index of the parent, by index of the child."""
        return {
            self.concepts.index(child): self.concepts.index(subspace.parent)
            for subspace in self.subspaces
            for child in subspace.children
        }

    @property
    def children(self) -> list[int]:
        """The indices of the concepts that are a child."""
        return sorted(self.parents)

    @property
    def upper(self) -> list[int]:
        """The indices of the concepts that are no child: parents, and those without a subspace."""
        return [index for index in range(len(self.concepts)) if index not in self.parents]

    def axes(self, subspace: Subspace) -> list[int]:
        """List the indices of a subspace's axes: the parent's, the children's, then its free ones."""
        before = sum(earlier.free for earlier in self.subspaces[: self.subspaces.index(subspace)])
        first = len(self.concepts) + before
        return [*map(self.concepts.index, subspace.names), *range(first, first + subspace.free)]

    def inside(self, labels: Tensor) -> Tensor:
        """Keep the labels that tell children apart inside their parent: NaN where the parent is not present.

        Args:
            labels: N x k; 1 present, 0 absent, NaN unknown.

        Returns:
            N x k; the labels themselves where there are no children.

        Raises:
            LabelsError: If a child is present where its parent is absent.

        Example:
            >>> layout = AxisLayout(("network", "typical"), (Subspace("network", ("typical",)),))
            >>> layout.inside(torch.tensor([[1.0, 0.0], [0.0, 0.0]])).tolist()
            [[1.0, 0.0], [0.0, nan]]
        """
        if not self.parents:
            return labels
        inside = labels.clone()
        for child, parent in self.parents.items():
            self._refuse_orphans(labels, child, parent)
            is_inside = (labels[:, parent] == 1) | (labels[:, child] == 1)
            inside[:, child] = torch.where(is_inside, labels[:, child], torch.nan)
        return inside

    def inside_regions(self, regions: Tensor) -> Tensor:
        """Keep the regions that tell children apart inside their parent: NaN outside the parent's mask.

        Args:
            regions: N x k x h x w, shares of each cell in [0, 1]; NaN planes where there is no mask, zero planes where
                the concept is absent.

        Returns:
            N x k x h x w; the regions themselves where there are no children. A cell counts as inside the parent where
            more than half of it is.

        Example:
            >>> layout = AxisLayout(("network", "typical"), (Subspace("network", ("typical",)),))
            >>> regions = torch.tensor([[[[1.0, 0.25]], [[0.0, 0.0]]]])
            >>> layout.inside_regions(regions)[0, 1].tolist()
            [[0.0, nan]]
        """
        if not self.parents:
            return regions
        inside = regions.clone()
        for child, parent in self.parents.items():
            inside[:, child] = torch.where(regions[:, parent] > 0.5, regions[:, child], torch.nan)
        return inside

    def _refuse_orphans(self, labels: Tensor, child: int, parent: int) -> None:
        orphans = ((labels[:, child] == 1) & (labels[:, parent] == 0)).nonzero()
        if len(orphans):
            raise LabelsError(
                f"row {int(orphans[0])} of a batch: '{self.concepts[child]}' is present but its parent "
                f"'{self.concepts[parent]}' is absent; a sub-concept needs its parent: correct the labels"
            )


def axis_layout(concepts: Sequence[str], subspaces: Sequence[Subspace], *, num_features: int) -> AxisLayout:
    """Lay out the axes of a layer.

    Raises:
        WhiteningError: If a name occurs twice or is unknown, or there are more axes than channels.

    Example:
        >>> axis_layout(["streaks", "globules"], [], num_features=8).owned
        2
    """
    names = tuple(concepts)
    if len(set(names)) < len(names):
        raise WhiteningError(f"concepts {names}: a name occurs twice; each axis needs a name of its own")
    layout = AxisLayout(names, tuple(subspaces))
    if len(names) > num_features:
        raise WhiteningError(f"{len(names)} concepts for {num_features} channels; name at most {num_features} axes")
    if layout.owned > num_features:
        raise WhiteningError(
            f"concepts and subspaces ask for {layout.owned} axes of {num_features} channels; give them fewer free axes"
        )
    return layout
