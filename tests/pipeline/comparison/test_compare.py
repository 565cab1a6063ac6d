"""Run folders compared: a run, and copies of it in which something was changed."""

import csv
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from fake_explanation import made_results, write_run
from typer.testing import CliRunner

from concepts.errors import DermaxisError, RunError, SettingsError
from pipeline.cli.main import app
from pipeline.comparison.predictions import NETWORKS
from pipeline.comparison.runs import compare_runs
from pipeline.config import parse_overrides
from pipeline.report.pages.comparison import (
    comparison_csv,
    not_in_all,
    render_comparison,
    terminal_comparison,
    write_comparison,
)
from pipeline.results.comparison import Comparison, IntervalMethod, NoiseFinding
from pipeline.results.evaluation import Evaluation
from pipeline.results.explanation import Explanation
from pipeline.results.record import RunRecord
from pipeline.results.result import parse_result
from pipeline.run.folder import RunFolder

CANARY = "<script>document.title='broken'"
CASES = 120


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with all that a comparison reads; its networks guess."""
    run = write_run(tmp_path_factory.mktemp("compare") / "made-20260101-093000", made_results())
    names = [f"image{number:03}" for number in range(CASES)]
    generator = np.random.default_rng(0)
    columns = {"image_id": names, "diagnosis": ["melanoma" if number % 2 else "nevus" for number in range(CASES)]}
    for network in NETWORKS:
        melanoma = generator.uniform(size=CASES)
        columns |= {f"{network}_melanoma": melanoma, f"{network}_nevus": 1 - melanoma}
    pd.DataFrame(columns).to_csv(run.file("predictions.csv"), index=False)
    groups = [f"patient{number // 3}" for number in range(CASES)]
    pd.DataFrame({"image_id": names, "part": "test", "group": groups}).to_csv(run.file("split.csv"), index=False)
    pd.DataFrame({"image_id": names, "digest": names}).to_csv(run.file("samples.csv"), index=False)
    return run.path


@pytest.fixture
def copy(run, tmp_path):
    """Makes a copy of the run with other settings or files."""

    def make(name, *, settings=None, change=None):
        folder = tmp_path / name
        shutil.copytree(run, folder)
        if settings:
            tree = yaml.safe_load((folder / "settings.yaml").read_text())
            (folder / "settings.yaml").write_text(yaml.safe_dump({**tree, **settings}))
        if change:
            change(folder)
        return folder

    return make


def certain(folder) -> None:
    """Let the whitened network be always right."""
    table = pd.read_csv(folder / "predictions.csv")
    for name in [name for name in table if name.startswith("whitened_")]:
        table[name] = (table["diagnosis"] == name.removeprefix("whitened_")).astype(float)
    table.to_csv(folder / "predictions.csv", index=False)


def without_veil(folder) -> None:
    """Take a concept out of all that the run says."""
    run = RunFolder(folder)
    evaluation, explanation = run.read(Evaluation), run.read(Explanation)
    purity = {"streaks": evaluation.axes.purity["streaks"]}
    run.write(evaluation.model_copy(update={"axes": evaluation.axes.model_copy(update={"purity": purity})}))
    importance = {
        target: result.model_copy(update={"concepts": {"streaks": result.concepts["streaks"]}})
        for target, result in explanation.importance.items()
    }
    run.write(explanation.model_copy(update={"importance": importance}))


def figures(comparison, key):
    return [row for family in comparison.families if family.key.startswith(key) for row in family.rows]


def test_a_copy_does_not_differ(run, copy):
    comparison = compare_runs([run, copy("copy")], resamples=50)
    assert comparison.settings == comparison.facts == ()
    assert comparison.same_images == {"A": True, "B": True}
    differences = [difference for *_, difference in comparison.differences()]
    assert {difference.figure.value for difference in differences} == {0.0}
    assert {difference.finding for difference in differences} == {NoiseFinding.WITHIN}
    assert all(len(set(row.ranks)) == 1 for row in figures(comparison, "importance"))
    text = terminal_comparison(comparison)
    assert "same settings" in text
    assert "Of 8 differences in the AUC of diagnoses and concepts none is shown to be more than noise" in text
    assert "Of 6 differences in importance none is shown" in text


def test_what_became_better_is_found_and_nothing_else(run, copy):
    comparison = compare_runs([run, copy("certain", change=certain)], resamples=100)
    beyond = {
        row.key: difference
        for _, row, _, difference in comparison.differences()
        if difference.finding is NoiseFinding.BEYOND
    }
    assert set(beyond) == {"auc.whitened.macro", "auc.whitened.melanoma", "auc.whitened.nevus"}
    assert beyond["auc.whitened.macro"].method is IntervalMethod.PAIRED
    assert beyond["auc.whitened.macro"].figure.low > 0


def test_the_command_line_names_the_seeds_and_what_is_beyond_noise(run, copy, tmp_path):
    better = copy("c", settings={"seed": 2}, change=certain)
    paths = [run, copy("b", settings={"seed": 1}), better]
    for seed, path in enumerate(paths[1:], 1):
        folder = RunFolder(path)
        folder.write(folder.read(RunRecord).model_copy(update={"seed": seed}))
    page = tmp_path / "out" / "seeds.html"
    result = CliRunner().invoke(app, ["compare", *map(str, paths), "-o", str(page)])
    assert result.exit_code == 0, result.output
    for letter, path, seed in zip("ABC", paths, (3, 1, 2), strict=True):
        assert f"  {letter}  {path.name}, seed {seed}" in result.output.splitlines()
    text = page.read_text()
    for prose in (result.output, text):
        assert "The runs differ in seed alone" in prose
        assert re.search(r"Of 16 differences in the AUC of diagnoses and concepts 3 are beyond noise: ", prose)
        assert "C minus A" in prose
        assert "B minus A" not in prose, "a copy differs in nothing"
    assert "Stability over seeds" in text
    assert "Standard deviation, range" in text
    assert [file for file in result.output.split() if file.startswith(str(page.parent))] == [
        str(page.with_suffix(ending)) for ending in (".html", ".csv", ".json")
    ]


def test_other_images_are_said_to_be_other(run, copy):
    def changed(folder):
        table = pd.read_csv(folder / "samples.csv")
        table["digest"] = [f"other {digest}" for digest in table["digest"]]
        table.to_csv(folder / "samples.csv", index=False)

    comparison = compare_runs([run, copy("other", change=changed)], resamples=50)
    assert comparison.same_images == {"A": True, "B": False}
    assert {row.differences[0].method for row in figures(comparison, "auc")} == {IntervalMethod.UNPAIRED}
    assert "B has other test images than A" in terminal_comparison(comparison)


def test_a_concept_that_a_run_lacks_is_listed_and_not_compared(run, copy):
    comparison = compare_runs([run, copy("fewer", change=without_veil)], resamples=50)
    row = next(row for row in figures(comparison, "importance.overall") if row.key.endswith("veil"))
    assert (row.figures[1], row.differences, row.ranks[1]) == (None, (None,), None)
    assert not_in_all(comparison) == ["veil"]
    page = render_comparison(comparison)
    assert "Concepts that not all runs have" in page
    assert "no such figure" in page


def test_the_page_needs_nothing_and_runs_nothing(run, copy, tmp_path):
    comparison = compare_runs([run, copy("b", settings={"name": CANARY})], resamples=50)
    files = write_comparison(comparison, tmp_path / "out" / "page.html")
    assert [file.suffix for file in files] == [".html", ".csv", ".json"]
    page, table, written = (file.read_text() for file in files)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=[\"'](?!#|data:)", page)
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", page.lower())
    assert parse_result(Comparison, written, "page.json").to_text() == written
    assert table == comparison_csv(comparison)


def test_the_csv_has_a_row_for_every_figure_of_every_run(run, copy):
    comparison = compare_runs([run, copy("b", change=certain)], resamples=50)
    rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison))))
    assert len(rows) == 2 * sum(len(family.rows) for family in comparison.families)
    by_key = {(row["figure"], row["run"]): row for row in rows}
    macro = by_key["auc.whitened.macro", "B"]
    (difference,) = figures(comparison, "auc.whitened")[0].differences
    numbers = ("value", "low", "high", "n", "difference", "difference_low", "difference_high")
    assert [float(macro[column]) for column in numbers] == [
        0.8, 0.75, 0.86, 100, difference.figure.value, difference.figure.low, difference.figure.high
    ]  # fmt: skip
    assert (float(macro["widened_low"]), float(macro["widened_high"])) == difference.widened
    assert (macro["finding"], macro["method"], macro["rank"]) == ("beyond noise", "paired", "")
    first = by_key["auc.whitened.macro", "A"]
    assert (first["difference"], first["finding"], first["method"]) == ("", "", "")
    assert by_key["importance.overall.veil", "A"]["rank"] == "2"


def test_refusals_say_what_to_do(run, copy, tmp_path):
    partial = tmp_path / "going.partial"
    shutil.copytree(run, partial)
    for paths, message in (
        ([run], "needs 2 to 26 runs"),
        ([run, run], "given twice"),
        ([run, partial], "not finished; resume it"),
        ([run, tmp_path / "none"], "no run folder"),
        ([run] * 27, "needs 2 to 26 runs"),
    ):
        with pytest.raises(RunError, match=message):
            compare_runs(paths)
    with pytest.raises(SettingsError, match=r"must end in \.html"):
        write_comparison(compare_runs([run, copy("b")], resamples=5), tmp_path / "page.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be written"):
        write_comparison(compare_runs([run, copy("c")], resamples=5), tmp_path / "file" / "page.html")
    result = CliRunner().invoke(app, ["compare", str(run), str(run)])
    assert isinstance(result.exception, DermaxisError)


@pytest.mark.slow
def test_a_real_run_and_its_copy_are_compared(tmp_path):
    from pipeline.retrain import retrain
    from pipeline.run.progress import Silent

    places = [f"runs={tmp_path / 'runs'}", f"data.cache={tmp_path / 'cache'}", "threads=1"]
    tiny = ["data.phantom.images=240", "data.phantom.size=64", "transforms.size=64", "transforms.margin=4"]
    short = ["model.width=0.25", "training.plain_epochs=1", "training.whitened_epochs=1", "explanation.cases=2"]
    first = retrain(parse_overrides(["name=tiny", *places, *tiny, *short]), tracker=Silent()).path
    second = shutil.copytree(first, tmp_path / "copy")
    comparison = compare_runs([first, second], resamples=50)
    assert comparison.runs[0].test_images == len(pd.read_csv(first / "predictions.csv"))
    assert {row.key for row in figures(comparison, "auc")} >= {"auc.plain.macro", "auc.whitened.melanoma"}
    assert json.loads(comparison.to_text())["runs"][1]["id"] == "copy"
