"""Runs held side by side: one tiny run, and copies of it in which something was changed."""

import csv
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from concepts.errors import DermaxisError, RunError, SettingsError
from pipeline.cli.main import app
from pipeline.comparison.runs import compare_runs
from pipeline.config import parse_overrides
from pipeline.report.pages.comparison import (
    comparison_csv,
    render_comparison,
    terminal_comparison,
    write_comparison,
)
from pipeline.results.comparison import Finding, Method
from pipeline.retrain import retrain
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent

pytestmark = pytest.mark.slow

TINY = [
    "name=tiny",
    "threads=1",
    "data.phantom.images=240",
    "data.phantom.size=64",
    "transforms.size=64",
    "transforms.margin=4",
    "model.width=0.25",
    "training.plain_epochs=2",
    "training.whitened_epochs=1",
    "training.batch_size=16",
    "evaluation.resamples=100",
    "concepts.minimum_positives=10",
    "explanation.cases=2",
]
CANARY = "<script>document.title='broken'</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    places = [f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}"]
    return retrain(parse_overrides([*TINY, *places]), tracker=Silent()).path


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


def guessing(folder) -> None:
    """Let the whitened network's probabilities be those of other images."""
    table = pd.read_csv(folder / "predictions.csv")
    columns = [name for name in table if name.startswith("whitened_")]
    table[columns] = np.eye(len(columns))[np.random.default_rng(0).integers(len(columns), size=len(table))]
    table.to_csv(folder / "predictions.csv", index=False)


def figures(comparison, key):
    return [row for family in comparison.families if family.key.startswith(key) for row in family.rows]


def test_a_copy_does_not_differ(run, copy):
    comparison = compare_runs([run, copy("copy")], resamples=100)
    assert comparison.settings == comparison.facts == ()
    assert comparison.same_images == {"A": True, "B": True}
    differences = [one for family in comparison.families for row in family.rows for one in row.differences if one]
    assert {one.figure.value for one in differences if one.finding is not Finding.UNKNOWN} == {0.0}
    assert comparison.findings(Finding.BEYOND) == comparison.findings(Finding.UNCORRECTED) == []
    assert all(len(set(row.ranks)) == 1 for row in figures(comparison, "importance"))
    assert "same settings" in terminal_comparison(comparison)


def test_what_became_worse_is_found_and_nothing_else(run, copy):
    comparison = compare_runs([run, copy("guessing", change=guessing)], resamples=200)
    found = {row.key: one for _, row, one in comparison.findings(Finding.BEYOND)}
    assert all(key.startswith("auc.whitened") for key in found)
    perfect = copy("certain", change=lambda folder: certain(folder))
    better = compare_runs([run, perfect], resamples=200)
    macro = next(row for row in figures(better, "auc.whitened") if row.key == "auc.whitened.macro").differences[0]
    assert macro.finding is Finding.BEYOND
    assert macro.method is Method.PAIRED
    assert macro.figure.low > 0
    assert {one.finding for row in figures(better, "auc.plain") for one in row.differences} == {Finding.WITHIN}


def certain(folder) -> None:
    """Let the whitened network be always right."""
    table = pd.read_csv(folder / "predictions.csv")
    for name in [name for name in table if name.startswith("whitened_")]:
        table[name] = (table["diagnosis"] == name.removeprefix("whitened_")).astype(float)
    table.to_csv(folder / "predictions.csv", index=False)


def test_seeds_alone_are_known_and_judged_for_stability(run, copy):
    comparison = compare_runs([run, copy("b", settings={"seed": 1}), copy("c", settings={"seed": 2})], resamples=100)
    assert comparison.seeds
    assert [row.values for row in comparison.settings] == [("0", "1", "2")]
    for row in comparison.stability:
        assert (row.tau, row.lowest, row.highest, row.pairs) == (1.0, 1.0, 1.0, 3)
        assert (row.top_share.value, row.top_share.n) == (1.0, 3)
        assert row.top_share.low < 0.5, "three runs cannot show more"
    assert {row.deviation for row in comparison.spreads} == {0.0}, "they are copies"
    assert {"auc.whitened.macro"} < {row.key for row in comparison.spreads}
    assert "Standard deviation, range" in render_comparison(comparison)
    other = compare_runs([run, copy("d", settings={"seed": 1, "training": {"plain_epochs": 3}})], resamples=100)
    assert not other.seeds
    assert other.stability == other.spreads == ()


def test_the_command_line_names_the_seeds_and_what_is_beyond_noise(run, copy, tmp_path):
    better = copy("c", settings={"seed": 2}, change=certain)
    paths = [run, copy("b", settings={"seed": 1}), better]
    for seed, path in enumerate(paths[1:], 1):
        RunFolder(path).record(seed=seed)
    page = tmp_path / "out" / "seeds.html"
    done = CliRunner().invoke(app, ["compare", *map(str, paths), "-o", str(page)])
    assert done.exit_code == 0, done.output
    for seed, (letter, path) in enumerate(zip("ABC", paths, strict=True)):
        assert f"  {letter}  {path.name}, seed {seed}" in done.output.splitlines()
    text = page.read_text()
    for said in (done.output, text):
        assert "The runs differ in seed alone" in said
        assert re.search(r"Of \d+ differences in the AUC of diagnoses and concepts \S+ are beyond noise: ", said)
        assert "C minus A" in said
        assert "B minus A" not in said, "a copy differs in nothing"
    assert "Stability over seeds" in text
    assert [file for file in done.output.split() if file.startswith(str(page.parent))] == [
        str(page.with_suffix(ending)) for ending in (".html", ".csv", ".json")
    ]


def test_other_images_are_compared_unpaired_and_said_to_be_other(run, copy):
    def changed(folder):
        table = pd.read_csv(folder / "samples.csv")
        table["digest"] = [f"other {one}" for one in table["digest"]]
        table.to_csv(folder / "samples.csv", index=False)

    comparison = compare_runs([run, copy("other", change=changed)], resamples=100)
    assert comparison.same_images == {"A": True, "B": False}
    assert {one.method for row in figures(comparison, "auc") for one in row.differences} == {Method.UNPAIRED}
    assert "other test images than A" in terminal_comparison(comparison)


def test_a_concept_that_one_run_lacks_is_named_and_not_compared(run, copy):
    def without_streaks(folder):
        for name in ("evaluation.json", "explanation.json"):
            tree = json.loads((folder / name).read_text())
            for branch in [tree["axes"]["purity"]] if "axes" in tree else tree["importance"].values():
                branch.pop("streaks")
            (folder / name).write_text(json.dumps(tree))

    comparison = compare_runs([run, copy("fewer", change=without_streaks)], resamples=100)
    row = next(row for row in figures(comparison, "importance.overall") if row.key.endswith("streaks"))
    assert row.figures[1] is None
    assert row.differences == (None,)
    page = render_comparison(comparison)
    assert "Concepts that not all runs have" in page
    assert "no such figure" in page


def test_the_page_needs_nothing_and_runs_nothing(run, copy, tmp_path):
    comparison = compare_runs([run, copy("b", settings={"name": CANARY})], resamples=100)
    files = write_comparison(comparison, tmp_path / "out" / "page.html")
    assert [file.suffix for file in files] == [".html", ".csv", ".json"]
    page = files[0].read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=[\"'](?!#|data:)", page)
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan[a-z]*", "", page.lower())
    assert json.loads(files[2].read_text())["runs"][0]["letter"] == "A"


def test_the_csv_has_a_row_for_every_figure_of_every_run(run, copy):
    comparison = compare_runs([run, copy("b", change=certain)], resamples=100)
    rows = list(csv.DictReader(io.StringIO(comparison_csv(comparison))))
    assert len(rows) == 2 * sum(len(family.rows) for family in comparison.families)
    macro = next(row for row in rows if (row["figure"], row["run"]) == ("auc.whitened.macro", "B"))
    assert float(macro["difference"]) > 0
    assert macro["finding"] == "beyond noise"
    assert macro["method"] == "paired"


def test_refusals_say_what_to_do(run, copy, tmp_path):
    partial = tmp_path / "going.partial"
    shutil.copytree(run, partial)
    for paths, said in (([run], "needs 2 to"), ([run, run], "named twice"), ([run, partial], "not whole yet")):
        with pytest.raises(RunError, match=said):
            compare_runs(paths)
    with pytest.raises(RunError, match="no run folder here"):
        compare_runs([run, tmp_path / "none"])
    with pytest.raises(SettingsError, match=r"must end in \.html"):
        write_comparison(compare_runs([run, copy("b")], resamples=100), tmp_path / "page.txt")
    done = CliRunner().invoke(app, ["compare", str(run), str(run)])
    assert isinstance(done.exception, DermaxisError)
