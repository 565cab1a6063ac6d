"""The main job on a small phantom cohort: whole, interrupted and resumed, and refused."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from hashlib import sha256
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR
from concepts.curation.queue import Order
from concepts.errors import RunError, SettingsError
from concepts.image_record import ImageRecord
from concepts.store.store import open_store
from pipeline.config import dump_settings, parse_overrides
from pipeline.explanation.cases.files import read_case
from pipeline.explanation.cases.index import concepts_of, read_index
from pipeline.explanation.cases.network import explain_image, open_case_network
from pipeline.explanation.discovery.files import read_discovery
from pipeline.report.pages.case import write_case_page
from pipeline.retrain import retrain
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent
from pipeline.run.results import read_results
from pipeline.whitening.activation import axis_activations

pytestmark = pytest.mark.slow

SMALL = [
    "name=small",
    "data.phantom.images=240",
    "data.phantom.size=64",
    "transforms.size=64",
    "transforms.margin=4",
    "model.architecture=mobilenet_v1",
    "model.width=0.25",
    "training.plain_epochs=2",
    "training.whitened_epochs=2",
    "training.batch_size=16",
    "training.concept_loss.weight=0.5",
    "evaluation.resamples=100",
    "explanation.permutations=20",
]


def small(folder: Path, *more: str):
    return parse_overrides([*SMALL, f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}", *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("job")


@pytest.fixture(scope="module")
def whole(folder) -> RunFolder:
    return retrain(small(folder), tracker=Silent())


def cache_of(run: RunFolder) -> str:
    """What a caller says so that the run's cache is followed."""
    return f"data.cache={run.settings().data.cache}"


def dermaxis(*arguments: str, folder: Path, **more):
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, **more)


def test_a_whole_run_holds_everything_that_it_promises(whole):
    assert whole.is_whole
    names = {"settings.yaml", "run.json", "model.safetensors", "model.json", "predictions.csv", "evaluation.json"}
    names |= {"explanation.json", "report.html", "split.csv", "release.json", "samples.csv"}
    assert names <= {path.name for path in whole.path.iterdir()}
    assert not list(whole.path.rglob("*.tmp"))
    assert not list(whole.path.glob("*.state.*"))


def test_a_run_measures_what_its_report_takes_back(whole):
    evaluation, explanation = whole.read_json("evaluation.json"), whole.read_json("explanation.json")
    sanity, settings = explanation["sanity"], whole.settings()
    assert sanity["draws"] == settings.explanation.sanity
    checks = [*sanity["purity_permuted_labels"].values()]
    for kind in ("importance_randomised_weights", "importance_permuted_labels"):
        assert set(sanity[kind]) == {*evaluation["classes"], "overall"}
        checks += [entry for row in sanity[kind].values() for entry in row.values()]
    for entry in checks:
        has_interval = entry["difference"]["low"] is not None
        assert entry["meaningless"] is (not entry["difference"]["low"] > 0 if has_interval else None)
    for order in filter(None, explanation["stability"].values()):
        assert sum(entry["first"] for entry in order["concepts"].values()) == pytest.approx(1)
    predictions = pd.read_csv(whole.file("predictions.csv")).set_index("image_id")
    table = predictions[[f"whitened_{name}" for name in evaluation["classes"]]]
    for entry in explanation["failures"]["gallery"]:
        assert entry["call"] != entry["truth"] == predictions.diagnosis[entry["image_id"]]
        assert table.loc[entry["image_id"]].idxmax() == f"whitened_{entry['call']}"
        assert whole.has(entry["picture"])
        assert whole.has(f"cases/{entry['image_id']}.html") is whole.has(f"cases/{entry['image_id']}.json")
    subgroups = evaluation["subgroups"]
    for attribute, values in subgroups["subgroups"].items():
        assert sum(entry["images"] for entry in values.values()) + subgroups["unknown"][attribute] == len(predictions)
    labels = evaluation["concept_only"]
    assert labels["images"] + labels["left_out"] == settings.data.phantom.images
    assert {"model_facts.html", "model_facts.json", "checklists.json"} <= {path.name for path in whole.path.iterdir()}


def test_every_figure_has_value_interval_and_n(whole):
    evaluation = whole.read_json("evaluation.json")
    for network in ("plain", "whitened"):
        for estimate in evaluation["diagnosis"][network]["auc"].values():
            assert estimate.keys() == {"value", "low", "high", "n"}
            assert estimate["low"] <= estimate["value"] <= estimate["high"]
    assert set(evaluation["whitening"]["residual"]) == {"train", "test"}
    importance = whole.read_json("explanation.json")["importance"]
    assert set(importance) == {"overall", *evaluation["classes"]}
    axes = importance["overall"]["concepts"]
    assert {axis["rank"] for axis in axes.values()} == set(range(1, len(axes) + 1))


def test_insertion_left_the_function_alone(whole):
    assert whole.read_json("run.json")["insertion_change"] <= 1e-4


def test_predictions_are_of_test_images_only(whole):
    split = pd.read_csv(whole.file("split.csv"))
    predictions = pd.read_csv(whole.file("predictions.csv"))
    assert set(predictions.image_id) == set(split.image_id[split.part == "test"])


def test_an_interrupted_run_resumes_to_the_same_result(whole, folder):
    settings = small(folder, f"runs={folder / 'interrupted'}")
    file = folder / "settings.yaml"
    file.write_text(dump_settings(settings))
    command = [sys.executable, "-m", "pipeline", "run", str(file)]
    # Where the tests run in the background, Ctrl-C is ignored in all that they start.
    listening = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=listening) as process:
        deadline = time.monotonic() + 240
        while not list((folder / "interrupted").glob("*.partial/plain.state.safetensors")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert "--resume" in process.stderr.read()
    done = dermaxis("run", str(file), "--resume", folder=folder, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    (resumed,) = (folder / "interrupted").iterdir()
    for name in ("evaluation.json", "explanation.json", "predictions.csv"):
        assert (resumed / name).read_text() == whole.file(name).read_text(), name


def test_refusals_are_one_line_with_status_2_and_leave_nothing(folder, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("name: refused\n")
    cases = {
        "unknown key": ["training.epochz=3"],
        "no such folder": ["data.source=isic2018", f"data.root={tmp_path / 'none'}"],
        "give data.root=FOLDER": ["data.source=isic"],
        "architecture": ["model.architecture=alexnet", *SMALL[1:3]],
        "layer": ["model.layer=blocks.99", *SMALL[1:3]],
        "release": [f"concepts.release={tmp_path / 'none.json'}", *SMALL[1:3]],
    }
    for output, overrides in cases.items():
        places = [f"runs={tmp_path / 'runs'}", f"data.cache={folder / 'cache'}"]
        done = dermaxis("run", str(file), *overrides, *places, folder=tmp_path)
        assert done.returncode == 2, (output, done.stderr)
        assert "Traceback" not in done.stderr
        last = done.stderr.strip().splitlines()[-1]
        assert last.startswith("dermaxis: "), done.stderr
        assert output in last, last
    assert not (tmp_path / "runs").exists()


def test_an_altered_release_is_refused(whole, folder, tmp_path):
    release = json.loads(whole.file("release.json").read_text())
    release["description"] = "altered"
    (tmp_path / "release.json").write_text(json.dumps(release))
    (tmp_path / "settings.yaml").write_text("name: refused\n")
    done = dermaxis(
        "run",
        str(tmp_path / "settings.yaml"),
        f"concepts.release={tmp_path / 'release.json'}",
        f"data.cache={folder / 'cache'}",
        *SMALL[1:5],
        folder=tmp_path,
    )
    assert done.returncode == 2
    assert "digest does not match" in done.stderr


def test_every_test_image_is_a_case_whose_contributions_add_up(whole):
    rows = read_index(whole)
    test = pd.read_csv(whole.file("split.csv")).query("part == 'test'").image_id
    assert sorted(row.image_id for row in rows) == sorted(test)
    for row in rows:
        case = read_case(whole, row.image_id)
        assert sum(entry.probability for entry in case.differential) == pytest.approx(1)
        assert case.wrong == row.wrong
        for entry in case.differential:
            shares = sum(concept.contributions[entry.diagnosis].share for concept in case.concepts)
            total = entry.baseline + shares + case.free[entry.diagnosis].share
            assert total == pytest.approx(entry.outcome, abs=1e-3)
    content = whole.read_json("explanation.json")
    assert content["cases"]["n"] == len(rows)
    assert content["pointing"]["concepts"].keys() == set(concepts_of(rows))


def test_an_image_explained_alone_is_explained_as_in_the_run(whole):
    image_id = read_index(whole)[0].image_id
    before = read_case(whole, image_id)
    explain_image(whole.path, image_id, paths=[cache_of(whole)])
    after = read_case(whole, image_id)
    assert (after.call, after.part, after.reference) == (before.call, before.part, before.reference)
    assert [entry.label for entry in after.concepts] == [entry.label for entry in before.concepts]
    for first, second in zip(before.concepts, after.concepts, strict=True):
        assert first.activation == pytest.approx(second.activation, abs=1e-3)
        for name, entry in first.contributions.items():
            assert entry.share == pytest.approx(second.contributions[name].share, abs=1e-2)
    network = open_case_network(whole.path, paths=[cache_of(whole)])
    opened = network.open_image(network.decode(network.path_of(image_id)))
    untouched = network.what_if(opened, ())
    for entry in after.differential:
        assert untouched[entry.diagnosis] == pytest.approx(entry.probability, abs=1e-4)
    assert network.what_if(opened, network.reference.concepts) != pytest.approx(untouched)
    with pytest.raises(SettingsError, match="no such axis"):
        network.what_if(opened, ["nonsense"])


def test_a_file_of_elsewhere_becomes_a_case_with_a_page(whole, tmp_path):
    source = open_case_network(whole.path, paths=[cache_of(whole)]).path_of(read_index(whole)[0].image_id)
    (tmp_path / "mine.png").write_bytes(source.read_bytes())
    image_id, file = explain_image(whole.path, str(tmp_path / "mine.png"), paths=[cache_of(whole)])
    case = read_case(whole, image_id)
    assert file.is_file()
    assert (case.part, case.reference, case.wrong) == (None, None, None)
    page = write_case_page(whole, image_id).read_text(encoding="utf-8")
    assert "No diagnosis is recorded for this lesion." in page
    assert "<script" not in page
    assert image_id in {row.image_id for row in read_index(whole)}
    with pytest.raises(RunError, match="neither an image"):
        explain_image(whole.path, "nonsense")


def test_directions_that_nobody_named_are_found_with_patches_and_candidates(whole):
    content = read_discovery(whole)
    assert content is not None
    assert len(content.directions) == whole.settings().explanation.discovered
    train = set(pd.read_csv(whole.file("split.csv")).query("part == 'train'").image_id)
    test = set(pd.read_csv(whole.file("split.csv")).query("part == 'test'").image_id)
    for direction in content.directions:
        candidates = pd.read_csv(whole.file(direction.candidates))
        assert set(candidates.image_id) <= train
        assert set(candidates.end) == {"high", "low"}
        assert (
            candidates.activation[candidates.end == "high"].min()
            >= candidates.activation[candidates.end == "low"].max()
        )
        assert {entry.image_id for entry in direction.patches} <= test
        assert all(whole.has(entry.patch) and whole.has(entry.picture) for entry in direction.patches)
        assert direction.relations
    shares = [entry.share_of_slope for entry in content.directions]
    assert shares == sorted(shares, reverse=True)


def test_stages_can_be_done_again(whole):
    before = whole.read_json("evaluation.json")
    done = dermaxis("evaluate", str(whole.path), cache_of(whole), folder=whole.path.parent)
    assert done.returncode == 0, done.stderr
    assert whole.read_json("evaluation.json") == before


def test_the_command_line_writes_the_report_on_paper_too(whole, folder):
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 absent: what is on paper is NOT checked")
    pytest.importorskip("weasyprint", reason="the extra 'pdf' is not installed: no PDF was written")
    done = dermaxis("report", str(whole.path), "--pdf", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(whole.file("report.html")), str(whole.file("report.pdf"))]
    with closing(pdfium.PdfDocument(whole.file("report.pdf"))) as paper:
        assert whole.id in paper.get_metadata_value("Title")
        text = words(" ".join(page.get_textpage().get_text_bounded() for page in paper))
        assert [beyond for page in paper for beyond in beyond_the_paper(page)] == []
    headings = re.findall(r"<h[12][^>]*>(.*?)</h[12]>", whole.file("report.html").read_text(), re.DOTALL)
    assert len(headings) > 10
    assert [entry for entry in map(words, headings) if entry not in text] == []
    macro = whole.read_json("evaluation.json")["diagnosis"]["whitened"]["auc"]["macro"]
    assert f"{macro['value']:.3f}" in text
    assert "Research software, not a medical device" in text


def beyond_the_paper(page):
    """Texts and pictures that the page's edge cuts off: left and right end in points."""
    for entry in page.get_objects(max_depth=20):
        left, _, right, _ = entry.get_bounds()
        if entry.type in (1, 3) and (left < 0 or right > page.get_width()):
            yield left, right


def words(html: str) -> str:
    """What is read of a piece of a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def test_the_command_line_puts_a_run_into_mlflow(whole, folder):
    pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed: nothing was exported")
    store = folder / "mlflow"
    done = dermaxis("export", str(whole.path), "--mlflow", str(store), folder=folder)
    assert done.returncode == 0, done.stderr
    identifier = re.fullmatch(rf"MLflow run (\w+) in {store}\n", done.stdout)[1]
    with closing(sqlite3.connect(store / "mlflow.db")) as kept:
        ((name,),) = kept.execute("select name from runs where run_uuid = ?", [identifier]).fetchall()
        figures = dict(kept.execute("select key, value from latest_metrics where run_uuid = ?", [identifier]))
        settings = dict(kept.execute("select key, value from params where run_uuid = ?", [identifier]))
    assert name == whole.id
    macro = whole.read_json("evaluation.json")["diagnosis"]["whitened"]["auc"]["macro"]
    key = "evaluation.diagnosis.whitened.auc.macro"
    content = {end: figures[f"{key}{'' if end == 'value' else '.' + end}"] for end in macro}
    assert content == pytest.approx(macro)
    assert settings["training.plain_epochs"] == "2"
    (report,) = (store / "artefacts").rglob("report.html")
    assert report.read_text() == whole.file("report.html").read_text()


def test_the_command_line_suppresses_an_axis_and_trains_on(whole, folder):
    done = dermaxis("suppress", str(whole.path), "streaks", "--epochs", "1", "--path", cache_of(whole), folder=folder)
    assert done.returncode == 0, done.stderr
    (path,) = whole.path.parent.glob("small-suppressed-*")
    suppressed = RunFolder(path)
    assert done.stdout.splitlines()[-1] == f"report: {path / 'report.html'}"
    output = read_results(suppressed).record.suppressed
    assert (output.source, output.names, output.epochs) == (whole.id, ("streaks",), 1)
    page = words(suppressed.file("report.html").read_text())
    assert "Suppressed: streaks." in page
    assert "trained for 1 epoch without them" in page
    before, after = (run.read_json("evaluation.json")["diagnosis"] for run in (whole, suppressed))
    assert after["plain"] == before["plain"]
    assert after["whitened"] != before["whitened"]
    importance = suppressed.read_json("explanation.json")["importance"]["overall"]["concepts"]["streaks"]["ratio"]
    assert importance["value"] == pytest.approx(1.0, abs=1e-6)
    assert f"{after['whitened']['auc']['macro']['value']:.3f}" in done.stdout


def test_every_baseline_and_several_layers_in_one_run(folder):
    run = retrain(
        small(
            folder,
            "name=baselines",
            "training.auxiliary.epochs=1",
            "training.whitened_from=auxiliary",
            "training.whitened_epochs=0",
            "evaluation.baselines=[tcav]",
            "model.layer=blocks.8.pointwise.norm",
            "model.further_layers=[blocks.3.pointwise.norm]",
        ),
        tracker=Silent(),
    )
    evaluation, explanation = run.read_json("evaluation.json"), run.read_json("explanation.json")
    assert run.read_json("run.json")["insertion_change"] <= 1e-4
    assert list(evaluation["whitening"]["layers"]) == ["blocks.3.pointwise.norm", "blocks.8.pointwise.norm"]
    last = evaluation["whitening"]["layers"]["blocks.8.pointwise.norm"]["axis_auc"]
    for concept, figures in evaluation["axes"]["purity"].items():
        assert all(figures["baselines"].values())
        assert last[concept] == figures["axis_auc"][evaluation["whitening"]["activation"]]
    # Nothing was trained after insertion, so the whitened network diagnoses as the one that it was put into.
    auxiliary, whitened = (evaluation["diagnosis"][name]["auc"]["macro"]["value"] for name in ("auxiliary", "whitened"))
    assert whitened == pytest.approx(auxiliary, abs=1e-3)
    assert set(explanation["tcav"]) == set(evaluation["classes"])
    assert "From low to high layers" in run.file("report.html").read_text()
    assert_stages_lead_to_the_case(run, explanation["trajectories"])


def assert_stages_lead_to_the_case(run, trajectories):
    image_id = read_index(run)[0].image_id
    for case in (read_case(run, image_id), explain_again(run, image_id)):
        for concept in case.concepts:
            layers = [entry.layer for entry in concept.stages]
            assert layers == ["blocks.3.pointwise.norm.whitening", "blocks.8.pointwise.norm.whitening"]
            assert concept.stages[-1].activation == pytest.approx(concept.activation, abs=1e-4)
            assert concept.stages[-1].state == concept.state
            assert set(trajectories[concept.concept]) == {layers[0]}
    assert "From low to high layers" in write_case_page(run, image_id).read_text(encoding="utf-8")


def explain_again(run, image_id):
    explain_image(run.path, image_id, paths=[cache_of(run)])
    return read_case(run, image_id)


def test_a_store_takes_what_a_run_suspects_and_sorts_by_it(whole, tmp_path):
    names = list(pd.read_csv(whole.file("predictions.csv")).image_id)[:8]
    paths = pd.read_csv(whole.file("samples.csv")).set_index("image_id").path
    root = Path(paths[names[0]]).parent
    concept = concepts_of(read_index(whole))[0]
    url = str(tmp_path / "store.sqlite")
    with closing(open_store(url)) as store:
        curation.create_set(store, OPERATOR, "derm", key="set")
        curation.add_concept(store, OPERATOR, "derm", concept, key="concept")
        digests = {name: sha256((root / Path(paths[name]).name).read_bytes()).hexdigest() for name in names}
        records = [ImageRecord(id=entry, digest=digests[entry], path=Path(paths[entry]).name) for entry in names]
        curation.add_images(store, OPERATOR, records, key="images")
        curation.add_to_set(store, OPERATOR, "derm", names[:6], key="row")
        folder_of = ("--set", "derm", "--images", str(root), "--store", url)
        done = dermaxis("concepts", "suspect", str(whole.path), cache_of(whole), *folder_of, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("6 images, ")
        assert f"by {whole.id}" in done.stdout
        network = open_case_network(whole.path)
        axis, how = network.reference.concepts.index(concept), network.settings.model.activation
        maps = {
            entry: network.open_image(network.decode(root / Path(paths[entry]).name)).maps[None] for entry in names[:6]
        }
        activations = {entry: float(axis_activations(content, how)[0, axis]) for entry, content in maps.items()}
        page = curation.browse(store, OPERATOR, "derm", concept, order=Order.SUSPICION, run=whole.id)
        assert [entry.image_id for entry in page.cases] == sorted(
            activations, key=activations.__getitem__, reverse=True
        )
        alike = curation.similar_images(store, OPERATOR, "derm", run=whole.id, like=[names[3]])
        assert (alike[0][0], len(alike)) == (names[3], 6)
        curation.add_to_set(store, OPERATOR, "derm", names[6:], key="more")
        assert (
            "2 images"
            in dermaxis("concepts", "suspect", str(whole.path), cache_of(whole), *folder_of, folder=tmp_path).stdout
        )
        assert len(curation.similar_images(store, OPERATOR, "derm", run=whole.id, like=[names[7]])) == 8
        assert (
            "already brought figures for every image"
            in dermaxis("concepts", "suspect", str(whole.path), cache_of(whole), *folder_of, folder=tmp_path).stderr
        )
