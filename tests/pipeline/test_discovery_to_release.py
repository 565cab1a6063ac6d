"""The whole way of an unnamed direction: found by a run, named, judged, frozen, and an axis of the next run."""

import csv
from contextlib import closing
from hashlib import sha256

import pytest

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR, add_account
from concepts.curation.queue import Order
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import Role
from concepts.store.store import open_store
from pipeline.config import parse_overrides
from pipeline.explanation.discovery.files import candidate_values, read_discovery
from pipeline.models.checkpoint import load_model
from pipeline.retrain import retrain
from pipeline.run.files import MODEL
from pipeline.run.progress import Silent
from pipeline.stages import Stage

NAMED = ("pigment_network", "globules")
UNNAMED = "blue_whitish_veil"
SMALL = [
    "data.phantom.images=240",
    "data.phantom.size=64",
    "transforms.size=64",
    "transforms.margin=4",
    "model.architecture=mobilenet_v1",
    "model.width=0.25",
    "training.plain_epochs=1",
    "training.whitened_epochs=1",
    "training.batch_size=16",
    "evaluation.resamples=100",
    "explanation.cases=2",
    "explanation.discovered=1",
]


def record(cohort, image_id):
    path = f"images/{image_id}.png"
    digest = sha256((cohort / path).read_bytes()).hexdigest()
    return ImageRecord(id=image_id, digest=digest, path=path, width=64, height=64)


@pytest.mark.slow
def test_what_nobody_named_becomes_an_axis_of_the_next_release(tmp_path, monkeypatch):
    where = [f"runs={tmp_path / 'runs'}", f"data.cache={tmp_path / 'cache'}"]
    words = [*SMALL, *where, f"concepts.names=[{','.join(NAMED)}]"]
    run = retrain(parse_overrides(["name=first", *words]), tracker=Silent())
    (direction,) = read_discovery(run).directions
    values = candidate_values(run, direction)
    cohort = next((tmp_path / "cache").rglob("metadata.csv"))
    with cohort.open(encoding="utf-8", newline="") as file:
        truth = {row["image_id"]: row for row in csv.DictReader(file)}

    with closing(open_store(str(tmp_path / "store.sqlite"))) as store:
        add_account(store, OPERATOR, "ann", [Role.ANNOTATOR], key="ann")
        curation.create_set(store, OPERATOR, "derm", consensus={"minimum_readers": 1}, key="set")
        records = [record(cohort.parent, name) for name in truth]
        digests = {image.digest: image.id for image in records}
        curation.add_images(store, OPERATOR, records, key="images")
        curation.add_to_set(store, OPERATOR, "derm", [image.id for image in records], key="row")
        for concept in NAMED:
            curation.add_concept(store, OPERATOR, "derm", concept, key=concept)
        judgements = [verdict("Ada", name, concept, truth) for name in truth for concept in NAMED]
        curation.import_judgements(store, OPERATOR, "derm", judgements, key="judgements")

        proposal = curation.propose_concept(
            store, OPERATOR, "derm", UNNAMED, values, run=run.id, axis=direction.name, key="named"
        )
        assert proposal.is_new
        assert proposal.candidates == len(values)
        # Naming judges nothing: readers look at the candidates first, the most active one foremost.
        waiting = curation.queue(
            store, "ann", "derm", UNNAMED, order=Order.SUSPICION, run=run.id, limit=proposal.candidates
        )
        assert {case.image_id for case in waiting} == {digests[digest] for digest in values}
        assert waiting[0].image_id == digests[max(values, key=values.get)]
        assert UNNAMED not in {
            example.concept for example in curation.preview_release(store, OPERATOR, "derm").release.examples
        }
        for case in waiting:
            curation.judge(store, "ann", "derm", verdict("ann", case.image_id, UNNAMED, truth), key=case.image_id)
        frozen = curation.freeze(store, OPERATOR, "derm", key="freeze")
        release = curation.read_release(store, OPERATOR, f"derm@{frozen.version}")
    examples = {example.image_id for example in release.examples if example.concept == UNNAMED}
    assert examples == {digests[digest] for digest in values}

    monkeypatch.setenv("DERMAXIS_STORE", str(tmp_path / "store.sqlite"))
    words = [*SMALL, *where, f"concepts=derm@{frozen.version}"]
    following = retrain(parse_overrides(["name=next", *words]), tracker=Silent(), last=Stage.WHITENED)
    _, description = load_model(following.path / MODEL)
    assert UNNAMED in description.whitening.concepts
    assert set(NAMED) < set(description.whitening.concepts)


def verdict(reader, image_id, concept, truth):
    present = truth[image_id][concept] == "1"
    return Judgement(
        reader=reader, image_id=image_id, concept=concept, verdict=Verdict.PRESENT if present else Verdict.ABSENT
    )
