"""What lesion masks and releases of masks say, as judgements that a store takes and readers can correct."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concepts.errors import DataError
from concepts.example import ConceptEntry, Example, Polarity
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.mask import encode
from concepts.measures.asymmetry import AsymmetryRule, asymmetry, is_cut_off
from concepts.measures.lesion_colours import ColoursRule, colour_shares
from concepts.measures.lesion_shape import BorderRule, DiameterRule, border_irregularity, diameter
from concepts.sources.masks import read_mask

READER = "lesion mask"
VERDICTS = {Polarity.PRESENT: Verdict.PRESENT, Polarity.ABSENT: Verdict.ABSENT}


@dataclass(frozen=True, slots=True)
class LesionRules:
    """When what is measured on a lesion counts as present or absent: the ABCD of an image."""

    asymmetry: AsymmetryRule = field(default_factory=AsymmetryRule)
    border: BorderRule = field(default_factory=BorderRule)
    colours: ColoursRule = field(default_factory=ColoursRule)
    diameter: DiameterRule = field(default_factory=DiameterRule)

    @property
    def entries(self) -> tuple[ConceptEntry, ...]:
        """The concepts as a release declares them."""
        return self.asymmetry.entry, self.border.entry, self.colours.entry, self.diameter.entry


def lesion_judgements(
    mask: NDArray[np.bool_],
    image_id: str,
    *,
    image: NDArray[np.uint8] | None = None,
    spacing: float | None = None,
    rules: LesionRules | None = None,
) -> tuple[Judgement, ...]:
    """Judge a lesion's shape, size and colours by its mask.

    Args:
        mask: H x W, true inside the lesion.
        image_id: The image.
        image: H x W x 3, RGB, 0..255; without it nothing is said of colours.
        spacing: Side of a pixel in mm; without it nothing is said of size, unless the rule is in pixels.
        rules: The thresholds.

    Returns:
        Of origin ``measured``, with the figure in the note. Nothing of what lies between two thresholds, nor of the
        shape of a lesion that touches the edge of the picture.

    Raises:
        DataError: If the mask is empty or does not fit the image, or the spacing is not above 0.
    """
    rules, cut_off = rules or LesionRules(), is_cut_off(mask)
    measures: list[tuple[ConceptEntry, Polarity | None, str]] = []
    if not cut_off:
        axes, border = asymmetry(mask), border_irregularity(mask)
        figures = f"{axes.major:.2f}, {axes.minor:.2f}"
        measures.append((rules.asymmetry.entry, rules.asymmetry.polarity(axes), figures))
        measures.append((rules.border.entry, rules.border.polarity(border), f"{border:.3f}"))
    if image is not None:
        shares = colour_shares(image, mask)
        colours = ", ".join(f"{colour} {shares[colour]:.0%}" for colour in rules.colours.colours(shares))
        measures.append((rules.colours.entry, rules.colours.polarity(shares), colours or "no colour but the skin's"))
    unit = rules.diameter.unit
    if spacing is not None or unit == "px":
        across = diameter(mask) if unit == "px" or spacing is None else diameter(mask, spacing=spacing)
        large = rules.diameter.polarity(across, cut_off=cut_off)
        measures.append((rules.diameter.entry, large, f"{across:.1f} {unit}"))
    return tuple(
        Judgement(
            reader=READER,
            image_id=image_id,
            concept=entry.id,
            verdict=VERDICTS[polarity],
            note=f"measured: {figure}",
            origin=entry.origin,
        )
        for entry, polarity, figure in measures
        if polarity is not None
    )


def example_judgements(
    concepts: Iterable[ConceptEntry], examples: Iterable[Example], *, reader: str, root: Path | None = None
) -> tuple[Judgement, ...]:
    """Convert the examples of a source (masks of ISIC 2018, a phantom, a release) to judgements for a store.

    What nobody marked is left out, since nobody judged it.

    Args:
        concepts: The concepts, which say how their examples came about.
        examples: The examples.
        reader: Name of the source.
        root: Folder to which the regions' paths are relative; they become brush masks. Default: regions are left out.

    Returns:
        One for each example that is present or absent.

    Raises:
        DataError: If a mask cannot be read, or is not the file that the example names by its digest.
    """
    origins = {entry.id: entry.origin for entry in concepts}
    return tuple(
        Judgement(
            reader=reader,
            image_id=example.image_id,
            concept=example.concept,
            verdict=VERDICTS[example.polarity],
            note=example.provenance,
            regions=_drawn(example, root),
            origin=origins[example.concept],
            blinded=False,
        )
        for example in examples
        if example.polarity in VERDICTS
    )


def _drawn(example: Example, root: Path | None) -> tuple[Region, ...]:
    if example.region is None or root is None:
        return ()
    stored, mask = read_mask(root, example.region.path)
    if stored.digest != example.region.digest:
        raise DataError(f"{example.region.path}: is not the mask of {example.image_id!r:.80} (SHA-256); restore it")
    return (Region(RegionKind.BRUSH, mask=encode(mask)),)
