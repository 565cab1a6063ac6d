"""The parts of a COCO file, as far as regions of concepts need them."""

from pathlib import PureWindowsPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from concepts.judgement import Verdict
from concepts.mask import SIDE_LIMIT

Side = Annotated[int, Field(ge=1, le=SIDE_LIMIT)]


class CocoPart(BaseModel):
    """A part of a COCO file; what we do not use is skipped."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class CocoImage(CocoPart):
    """An image, with its size in pixels."""

    id: int | str
    file_name: str
    width: Side
    height: Side

    @property
    def image_id(self) -> str:
        """The file's name without folder and ending."""
        return PureWindowsPath(self.file_name).stem


class CocoCategory(CocoPart):
    """A concept."""

    id: int | str
    name: str


class CocoMask(CocoPart):
    """A mask as run lengths, as numbers or compressed; size is height, width."""

    size: tuple[Side, Side]
    counts: list[int] | str


class CocoAttributes(CocoPart):
    """What COCO has no field for."""

    reader: str | None = None
    verdict: Verdict = Verdict.PRESENT
    reading: int = 1


class CocoAnnotation(CocoPart):
    """A region of one concept in one image; lengths in pixels."""

    image_id: int | str
    category_id: int | str
    bbox: tuple[float, float, float, float] | None = None
    segmentation: CocoMask | list[list[float]] | None = None
    attributes: CocoAttributes = CocoAttributes()
