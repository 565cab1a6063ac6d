"""The sentences about the images of a run."""

from pipeline.report.sentences.numerals import count, enumeration
from pipeline.results.evaluation import CohortResult

SOURCES = {"phantom": "the generated phantom cohort", "isic2018": "ISIC 2018", "isic": "the ISIC archive"}
GROUPINGS = {"patient": "by patient", "lesion": "by lesion", "near-duplicate": "by near-duplicate", "none": "alone"}


def source(cohort: CohortResult) -> str:
    """Name the data source."""
    return SOURCES.get(cohort.source, cohort.source)


def splitting(cohort: CohortResult) -> str:
    """Say how related images were kept together."""
    kinds = [f"{count(images)} {GROUPINGS.get(kind, kind)}" for kind, images in cohort.grouped_by.items() if images]
    grouped = f" Images were kept together: {enumeration(kinds)}." if kinds else ""
    return f"No group of related images is in two parts.{grouped}"
