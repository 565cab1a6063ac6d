"""A planted shortcut found and undone by the main job, on a small phantom whose sticker is a concept of the release."""

import re
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
import torch

from concepts.errors import RunError
from concepts.example import ConceptEntry, Example, MaskFile, Origin, Polarity
from concepts.release import freeze, read_release, write_release
from pipeline.config import dump_settings, parse_overrides
from pipeline.data.cohort import prepare_cohort
from pipeline.data.digests import file_digest
from pipeline.data.splits import Part, read_split
from pipeline.explanation import explained_network
from pipeline.explanation.cases.contributions import log_odds
from pipeline.explanation.explained_network import open_explained
from pipeline.explanation.shortcuts.artefact_space import joined, logits_without, read_spaces
from pipeline.explanation.shortcuts.repainting import drawn_logits, painted_lesions, with_artefact
from pipeline.results.shortcuts import NamedShortcut
from pipeline.retrain import retrain
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent
from pipeline.run.results import read_results
from pipeline.suppress import suppress_run, suppressed_network

pytestmark = pytest.mark.slow

STICKER = "colour_patch"
SMALL = [
    "name=sticker",
    "data.phantom.images=600",
    "data.phantom.size=64",
    f"data.phantom.shortcut.artefact={STICKER}",
    "data.phantom.shortcut.diagnosis=melanoma",
    "data.phantom.shortcut.strength=0.9",
    "transforms.size=64",
    "transforms.margin=0",
    "model.architecture=resnet18",
    "model.width=0.25",
    "model.layer=layer2",
    "training.batch_size=16",
    "training.plain_epochs=1",
    "training.whitened_epochs=6",
    "training.learning_rate=4e-3",
    "training.whitened_learning_rate=4e-3",
    "training.concept_loss.weight=1.0",
    "evaluation.resamples=100",
    "explanation.cases=4",
    "explanation.discovered=0",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shortcut")


@pytest.fixture(scope="module")
def whole(folder) -> RunFolder:
    places = [f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}", f"data.root={folder / 'phantom'}"]
    settings = parse_overrides([*SMALL, *places])
    cohort = prepare_cohort(settings, tracker=Silent())
    write_release(with_sticker(cohort), folder / "release.json")
    return retrain(parse_overrides([*SMALL, *places, f"concepts.release={folder / 'release.json'}"]), tracker=Silent())


def with_sticker(cohort):
    """The phantom's release, and the sticker as one more concept."""
    table = pd.read_csv(cohort.root / "metadata.csv").set_index("image_id")
    examples = [
        Example(
            image_id=sample.image_id,
            image_digest=sample.digest,
            concept=STICKER,
            polarity=Polarity.PRESENT if there else Polarity.ABSENT,
            region=region(cohort, sample) if there else None,
            provenance="planted",
        )
        for sample in cohort.samples
        for there in [bool(table.loc[sample.image_id, STICKER])]
    ]
    entry = ConceptEntry.from_vocabulary(STICKER, origin=Origin.PLANTED)
    release = cohort.release
    return freeze(
        "phantom-sticker",
        1,
        concepts=[*release.concepts, entry],
        examples=[*release.examples, *examples],
        licence="CC0-1.0",
    )


def region(cohort, sample):
    path = f"masks/{sample.image_id}_{STICKER}.png"
    return MaskFile(path=path, digest=file_digest(cohort.root / path))


def paths_of(run: RunFolder) -> list[str]:
    """What a caller says so that the paths in the run's settings are followed."""
    settings = run.settings()
    named = {"data.cache": settings.data.cache, "data.root": settings.data.root}
    return [f"{key}={path}" for key, path in {**named, "concepts.release": settings.concepts.release}.items()]


def path_options(run: RunFolder) -> list[str]:
    return [word for path in paths_of(run) for word in ("--path", path)]


def dermaxis(*arguments, folder):
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


def test_the_planted_shortcut_is_named_and_the_report_says_so(whole):
    audit = read_results(whole).explanation.shortcuts
    assert audit.named[0] == NamedShortcut(artefact=STICKER, diagnosis="melanoma")
    sticker = audit.artefacts[STICKER]
    assert sticker.axis is not None
    assert sticker.audit.directions >= 1
    assert sticker.audit.reading_auc.low > 0.5
    melanoma = sticker.audit.diagnoses["melanoma"]
    assert melanoma.taken_out.high < 0 < melanoma.put_in.low
    assert melanoma.drawn_out.high < 0 < melanoma.drawn_in.low
    assert set(audit.artefacts) == {"hair", "ruler", "ink", "dark_corner", STICKER, "gel_bubble"}
    page = whole.file("report.html").read_text()
    assert "Named as shortcuts, the strongest first: colour patch for melanoma" in page
    assert "Suppressed" not in page


def test_directions_on_disk_are_orthonormal(whole):
    spaces = read_spaces(whole)
    assert STICKER in spaces
    for space in spaces.values():
        assert torch.allclose(space.directions @ space.directions.T, torch.eye(space.rank).double(), atol=1e-8)


def test_a_suppressed_run_is_measured_anew_and_says_what_was_suppressed(whole, folder):
    done = dermaxis("suppress", str(whole.path), STICKER, *path_options(whole), folder=folder)
    assert done.returncode == 0, done.stderr
    (path,) = (whole.path.parent).glob("sticker-suppressed-*")
    suppressed = RunFolder(path)
    assert suppressed.is_whole
    report = read_results(suppressed)
    assert report.record.suppressed.source == whole.id
    assert report.record.suppressed.names == (STICKER,)
    page = suppressed.file("report.html").read_text()
    assert "Suppressed: colour patch." in page
    assert "images were weighed so that colour patch went with no diagnosis." in page
    before, after = (run.read_json("evaluation.json")["diagnosis"] for run in (whole, suppressed))
    assert after["plain"] == before["plain"]
    assert after["whitened"] != before["whitened"]
    old, new = (run.read_json("explanation.json")["shortcuts"] for run in (whole, suppressed))
    assert {"artefact": STICKER, "diagnosis": "melanoma"} not in new["named"]
    audits = [audit["artefacts"][STICKER]["audit"] for audit in (old, new)]
    effect = [audit["diagnoses"]["melanoma"]["drawn_in"]["value"] for audit in audits]
    assert abs(effect[1]) <= 0.5 * abs(effect[0])
    importance = suppressed.read_json("explanation.json")["importance"]["overall"]["concepts"][STICKER]["ratio"]
    assert importance["value"] == pytest.approx(1.0, abs=1e-6)
    gap = [audit["counterpart"]["balanced_accuracy"]["difference"]["value"] for audit in (old, new)]
    assert abs(gap[1]) < abs(gap[0])


@pytest.fixture
def network(whole):
    settings = whole.settings()
    split, release = read_split(whole.file("split.csv")), read_release(whole.file("release.json"))
    cohort = prepare_cohort(settings, tracker=Silent(), split=split, release=release)
    return open_explained(settings, cohort, run=whole)


def test_training_on_keeps_the_layer_and_finds_no_way_back_to_what_is_suppressed(whole, network):
    space = read_spaces(whole)[STICKER]
    validation = network.cohort.part(Part.VALIDATION)
    before = network.outputs(validation, tracker=Silent(), title="")
    changed, _ = suppressed_network(network, space, epochs=1, tracker=Silent())
    after = changed.outputs(validation, tracker=Silent(), title="")
    assert torch.equal(after.maps, before.maps)
    only_suppressed, _ = suppressed_network(network, space, tracker=Silent())
    assert (only_suppressed.outputs(validation, tracker=Silent(), title="").logits - after.logits).abs().max() > 1e-2
    assert (logits_without(after, space) - after.logits).abs().max() <= 1e-4 * after.logits.abs().max()
    assert torch.equal(network.outputs(validation, tracker=Silent(), title="").logits, before.logits)


def test_training_on_without_the_tie_makes_drawn_stickers_matter_less(network):
    """With nothing suppressed, what is left of the sticker's effect shows what the weights of the images do."""
    lesions = painted_lesions(network.settings.data, network.parts.test.samples)
    melanoma = network.cohort.classes.index("melanoma")

    def effect(**kind):
        changed, _ = suppressed_network(network, joined([], network.channels), epochs=2, tracker=Silent(), **kind)
        painted = ([with_artefact(lesion, STICKER, present=there) for lesion in lesions] for there in (True, False))
        there, gone = (log_odds(drawn_logits(changed, drawn).double()) for drawn in painted)
        return float((there - gone)[:, melanoma].mean())

    assert 0 < effect(artefacts=[STICKER]) < 0.8 * effect()


def test_the_layer_is_run_over_the_training_images_once_where_they_can_be_kept(network, monkeypatch):
    first = list(network.train_maps(Silent()))
    assert sum(len(maps) for maps in first) == len(network.cohort.part(Part.TRAIN))
    assert [maps.data_ptr() for maps in network.train_maps(Silent())] == [maps.data_ptr() for maps in first]
    monkeypatch.setattr(explained_network, "MOST_CACHED_BYTES", 0)
    streamed = replace(network)
    for _ in range(2):
        again = list(streamed.train_maps(Silent()))
        assert all(torch.equal(*pair) for pair in zip(again, first, strict=True))
    assert not streamed._train


def test_what_cannot_be_suppressed_is_refused_in_a_line(whole, folder):
    done = dermaxis("suppress", str(whole.path), "glitter", *path_options(whole), folder=folder)
    assert done.returncode == 2
    assert re.search(r"nothing called 'glitter' to suppress; use pigment_network, .*gel_bubble", done.stderr)
    assert not list(whole.path.parent.glob("*.partial"))


def test_a_suppressed_run_is_not_suppressed_again(whole):
    (path,) = whole.path.parent.glob("sticker-suppressed-*")
    with pytest.raises(RunError, match="suppressed in it already; suppress everything at once"):
        suppress_run(path, ["streaks"], tracker=Silent())


def test_settings_of_the_suppressed_run_are_those_of_the_old_one(whole):
    (path,) = whole.path.parent.glob("sticker-suppressed-*")
    old, new = whole.settings(), RunFolder(path).settings()
    assert dump_settings(new.model_copy(update={"name": old.name})) == dump_settings(old)
