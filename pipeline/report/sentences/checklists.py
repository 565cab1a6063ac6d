"""What a run can say to the items of reporting checklists; None where it knows nothing."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.report.sentences import failures, patients, results, sanity
from pipeline.report.sentences.cohort import source, splitting
from pipeline.report.sentences.concepts import ORIGINS, agreement_figure
from pipeline.report.sentences.facts import INTENDED_USE, NOT_FOR
from pipeline.report.sentences.limits import limits_of
from pipeline.report.sentences.numerals import count, enumeration, estimate, interval, number, plural, share
from pipeline.run.results import RunResults

Answer = Callable[[RunResults], str | None]


def _settings(report: RunResults) -> Mapping[str, Any]:
    return report.settings.model_dump(mode="json")


def _group(report: RunResults, name: str) -> Mapping[str, Any]:
    found = _settings(report).get(name, {})
    return found if isinstance(found, Mapping) else {}


def _technique(report: RunResults) -> str:
    return f"Concept whitening of a {report.settings.model.architecture} classifier, an interpretable layer of a deep network."


def _summary(report: RunResults) -> str:
    return f"Summary on top: {results.comparison(report.evaluation.diagnosis)}"


def _intended_use(_: RunResults) -> str:
    return f"{INTENDED_USE} {NOT_FOR}"


def _goal(_: RunResults) -> str:
    return "To retrain a classifier whose axes are named concepts, and to measure which of them it uses."


def _sources(report: RunResults) -> str:
    digest = report.record.digests.data if report.record.digests else None
    return f"{source(report.evaluation.cohort)}; digest of images and labels {digest or 'not recorded'}."


def _preprocessing(report: RunResults) -> str | None:
    transforms = _group(report, "transforms")
    if not transforms:
        return None
    side, fit, margin = (transforms.get(key, "unknown") for key in ("size", "fit", "margin"))
    return f"Squares of {side} pixels ({fit}, margin {margin}), normalised; augmentation by the settings below."


def _subset(report: RunResults) -> str | None:
    data = _group(report, "data")
    if not data:
        return None
    limit, kept = data.get("limit"), data.get("diagnoses")
    said = [
        f"at most {count(limit)} images, drawn at random by diagnosis" if limit else "",
        f"only {enumeration([str(one) for one in kept])}" if kept else "",
    ]
    return f"{', '.join(filter(None, said)) or 'None: all images of the source'}."


def _missing(report: RunResults) -> str:
    treated = "count as absent" if report.settings.concepts.unmarked_is_absent else "are left out"
    return f"Concepts that were not marked {treated}; labels that are not known are left out of each figure."


def _reference_standard(report: RunResults) -> str:
    origins = sorted({ORIGINS.get(entry.origin, entry.origin) for entry in report.entries.values()})
    return f"Concepts: {enumeration(origins)}. How diagnoses were established is not known to the run."


def _annotations(report: RunResults) -> str:
    release = report.release
    said = f"Concept release {release.name}, version {release.version}, SHA-256 {release.digest[:12]}…"
    return f"{said}. {release.description}".strip()


def _test_annotations(report: RunResults) -> str:
    images = plural(report.evaluation.cohort.images("test"), "test image")
    return f"The {images} have the labels of the same release as the training images; none was relabelled."


def _reader_agreement(report: RunResults) -> str | None:
    coefficients = [
        f"{report.names.concept(concept)} {estimate(agreement_figure(report.agreement[concept]))}"
        for concept in report.entries
        if concept in report.agreement
    ]
    return f"Between readers: {'; '.join(coefficients)}." if coefficients else None


def _partitions(report: RunResults) -> str:
    parts = [f"{name} {count(part.images)}" for name, part in report.evaluation.cohort.parts.items()]
    return f"At random with seed {report.record.seed}, by group and diagnosis: {enumeration(parts)} images."


def _disjoint(report: RunResults) -> str:
    return splitting(report.evaluation.cohort)


def _model(report: RunResults) -> str:
    whitening, diagnoses = report.evaluation.whitening, report.evaluation.classes
    return (
        f"{report.settings.model.architecture}; whitening at {whitening.layer} ({whitening.placement}), {count(whitening.channels)} "
        f"axes, {count(len(report.entries))} of them named; outputs: "
        f"{enumeration([report.names.diagnosis(diagnosis) for diagnosis in diagnoses])}."
    )


def _software(report: RunResults) -> str:
    return f"{', '.join(f'{name} {version}' for name, version in report.record.versions.items())}."


def _initial_weights(report: RunResults) -> str:
    weights = report.record.weights
    return f"From {weights.file}." if weights else "Random, by the seed."


def _training(report: RunResults) -> str | None:
    training = _group(report, "training")
    if not training:
        return None
    said = [f"{key.replace('_', ' ')} {value}" for key, value in training.items() if not isinstance(value, Mapping)]
    return f"{'; '.join(said)}; histories below."


def _chosen_epoch(report: RunResults) -> str:
    best = [f"{phase} network: epoch {epoch}" for phase, epoch in report.record.best_epoch.items()]
    return f"The best epoch on validation images ({enumeration(best)}); the test part chose nothing."


def _ensembles(report: RunResults) -> str:
    turns = _group(report, "model").get("turns", 1)
    averaged = f"; maps are averaged over {turns} turns of the image" if turns and turns > 1 else ""
    return f"None: one network{averaged}."


def _metrics(_: RunResults) -> str:
    return (
        "AUC by diagnosis and macro, balanced accuracy, sensitivity at 80 and 90 % specificity, calibration error; for "
        "axes AUC; for importance loss ratios."
    )


def _uncertainty(report: RunResults) -> str:
    return (
        f"95 % intervals over {count(report.settings.evaluation.resamples)} bootstrap resamples of groups; subgroups and "
        "relations corrected for their number, other figures not."
    )


def _robustness(report: RunResults) -> str | None:
    sentences = [
        sanity.summary(report.explanation.sanity, report.names),
        patients.subgroups(report.evaluation.subgroups),
    ]
    return " ".join(filter(None, sentences)) or None


def _explainability(report: RunResults) -> str:
    return f"Named axes with measured reliability and importance. {sanity.summary(report.explanation.sanity, report.names)}"


def _internal_data(report: RunResults) -> str:
    return f"{plural(report.evaluation.cohort.images('test'), 'test image')} of the same cohort, used for nothing else."


def _external_data(_: RunResults) -> str:
    return "None: every figure is of this cohort."


def _included(report: RunResults) -> str:
    parts = []
    for name, part in report.evaluation.cohort.parts.items():
        counts = [
            f"{count(images)} {report.names.diagnosis(diagnosis)}" for diagnosis, images in part.diagnoses.items()
        ]
        parts.append(f"{name}: {enumeration(counts)}")
    return f"{'; '.join(parts)}. What was excluded before is not known to the run."


def _characteristics(report: RunResults) -> str | None:
    counts = [
        f"{attribute} {value}: {count(subgroup.images)}"
        for attribute, part in report.evaluation.subgroups.subgroups.items()
        for value, subgroup in part.items()
    ]
    return f"Test images only. {'; '.join(counts)}." if counts else None


def _performance(report: RunResults) -> str:
    whitened = report.evaluation.diagnosis.whitened
    return f"Macro AUC {estimate(whitened.auc['macro'])}, balanced accuracy {estimate(whitened.balanced_accuracy)}."


def _precision(report: RunResults) -> str:
    auc = report.evaluation.diagnosis.whitened.auc
    figures = [
        f"{report.names.diagnosis(diagnosis)} {number(auc[diagnosis].value)} ({interval(auc[diagnosis])})"
        for diagnosis in report.evaluation.classes
    ]
    return f"AUC {'; '.join(figures)}."


def _failures(report: RunResults) -> str:
    return f"{failures.rates(report.explanation.failures)} Gallery in the section Failures."


def _limitations(report: RunResults) -> str:
    return f"Section Limits, {plural(len(limits_of(report)), 'point')}."


def _implications(_: RunResults) -> str:
    return f"{NOT_FOR} A clinical role was not studied."


def _availability(report: RunResults) -> str:
    made = report.record
    return f"Apache-2.0 code at commit {made.commit or 'unknown'}; settings, weights, digests, split in the run folder."


def _system(report: RunResults) -> str:
    return f"Run {report.record.id}. {results.what_was_done(report)} {_performance(report)}"


def _outputs(_: RunResults) -> str:
    return "Calibrated probabilities by diagnosis, state and contribution of each concept, maps, nearest examples."


def _errors_defined(_: RunResults) -> str:
    return "A call that differs from the recorded diagnosis."


def _fairness(report: RunResults) -> str | None:
    subgroups = report.evaluation.subgroups
    return patients.subgroups(subgroups) if subgroups.subgroups else None


def _artefacts(_: RunResults) -> str:
    return "Audited in the section Artefacts and shortcuts."


def _synthetic(report: RunResults) -> str:
    return (
        "All images are generated." if report.evaluation.cohort.source == "phantom" else "None were added by this run."
    )


def _skin_tone(report: RunResults) -> str | None:
    tones = report.evaluation.subgroups.subgroups.get("skin tone", {})
    counts = [f"{tone} {count(subgroup.images)}" for tone, subgroup in tones.items()]
    return f"Test images: {'; '.join(counts)}." if counts else None


def _out_of_scope(report: RunResults) -> str:
    flag = report.explanation.cases.out_of_scope
    return f"Flagged as out of scope: {share(flag.share)} of the explained test images."


def _benchmark(report: RunResults) -> str:
    return f"The plain network on the same test images. {results.comparison(report.evaluation.diagnosis)}"


ANSWERS: Mapping[str, tuple[Answer, bool]] = {
    "technique": (_technique, True),
    "summary": (_summary, True),
    "intended_use": (_intended_use, False),
    "goal": (_goal, True),
    "sources": (_sources, False),
    "preprocessing": (_preprocessing, True),
    "subset": (_subset, True),
    "missing": (_missing, True),
    "reference_standard": (_reference_standard, False),
    "annotations": (_annotations, False),
    "test_annotations": (_test_annotations, False),
    "reader_agreement": (_reader_agreement, False),
    "partitions": (_partitions, True),
    "disjoint": (_disjoint, True),
    "model": (_model, True),
    "software": (_software, True),
    "initial_weights": (_initial_weights, True),
    "training": (_training, True),
    "chosen_epoch": (_chosen_epoch, True),
    "ensembles": (_ensembles, True),
    "metrics": (_metrics, True),
    "uncertainty": (_uncertainty, True),
    "robustness": (_robustness, False),
    "explainability": (_explainability, True),
    "internal_data": (_internal_data, True),
    "external_data": (_external_data, True),
    "included": (_included, False),
    "characteristics": (_characteristics, False),
    "performance": (_performance, True),
    "precision": (_precision, True),
    "failures": (_failures, False),
    "limitations": (_limitations, False),
    "implications": (_implications, False),
    "availability": (_availability, False),
    "system": (_system, False),
    "outputs": (_outputs, False),
    "errors_defined": (_errors_defined, False),
    "fairness": (_fairness, False),
    "artefacts": (_artefacts, False),
    "synthetic": (_synthetic, True),
    "skin_tone": (_skin_tone, False),
    "out_of_scope": (_out_of_scope, False),
    "benchmark": (_benchmark, True),
}
"""By key: the answer, and whether it answers an item wholly (else partly)."""
