"""The JSON schemas of the files of a run folder, so that others can read a run without this package."""

from typing import Any

from pydantic import BaseModel

from pipeline.results.case import CaseContent
from pipeline.results.checklists import ChecklistAnswers
from pipeline.results.comparison import Comparison
from pipeline.results.evaluation import Evaluation
from pipeline.results.explanation import Explanation
from pipeline.results.facts import ModelFacts
from pipeline.results.record import RunRecord

FILES: dict[str, type[BaseModel]] = {
    RunRecord.file: RunRecord,
    Evaluation.file: Evaluation,
    Explanation.file: Explanation,
    "cases/IMAGE.json": CaseContent,
    ModelFacts.file: ModelFacts,
    ChecklistAnswers.file: ChecklistAnswers,
    Comparison.file: Comparison,
}
"""By name in the run folder, what a file holds; the last one lies where ``dermaxis compare -o`` was told to write."""


def file_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schema (draft 2020-12) of each file as it is written.

    Example:
        >>> list(file_schemas())[:4]
        ['run.json', 'evaluation.json', 'explanation.json', 'cases/IMAGE.json']
    """
    return {name: _schema(model) for name, model in FILES.items()}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="serialization")
    version = getattr(model, "version", None)
    if version is not None:
        schema["properties"] = {"format": {"const": version}} | schema["properties"]
        schema["required"] = ["format", *schema.get("required", [])]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
