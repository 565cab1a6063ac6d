"""The facts of a run from which the answers to reporting checklists are put together."""

from pipeline.report.sentences import failures, patients, results, sanity
from pipeline.report.sentences.cohort import source, splitting
from pipeline.report.sentences.concepts import ORIGINS
from pipeline.report.sentences.facts import INTENDED_USE, NOT_FOR
from pipeline.report.sentences.limits import limits_of
from pipeline.report.sentences.numerals import capital, count, enumeration, estimate, plural, share, short
from pipeline.run.results import RunResults

MOST_DIGITS = 12
"""Digits of the release's digest that an answer shows."""


def checklist_facts(report: RunResults) -> dict[str, str]:
    """List what a run can say, by placeholder of ``checklists/answers.yaml``; empty where it does not know."""
    return _making(report) | _data(report) | _figures(report)


def _making(report: RunResults) -> dict[str, str]:
    record, settings, evaluation = report.record, report.settings, report.evaluation
    training = settings.model_dump(mode="json")["training"]
    turns = settings.model.turns
    return {
        "run": record.id,
        "what_was_done": results.what_was_done(report),
        "intended_use": INTENDED_USE,
        "not_for": NOT_FOR,
        "architecture": settings.model.architecture,
        "layer": evaluation.whitening.layer,
        "placement": evaluation.whitening.placement,
        "axes": count(evaluation.whitening.channels),
        "named_axes": count(len(report.entries)),
        "diagnoses": enumeration([report.names.diagnosis(diagnosis) for diagnosis in evaluation.classes]),
        "side": str(settings.transforms.size),
        "fit": str(settings.transforms.fit),
        "margin": str(settings.transforms.margin),
        "training": "; ".join(
            f"{key.replace('_', ' ')} {value}" for key, value in training.items() if not isinstance(value, dict)
        ),
        "best_epochs": enumeration([f"{phase} network: epoch {epoch}" for phase, epoch in record.best_epoch.items()]),
        "initial_weights": f"From {record.weights.file}" if record.weights else "Random, by the seed",
        "ensemble": f"one network, whose maps are averaged over {turns} turns of the image"
        if turns > 1
        else "one network",
        "versions": ", ".join(f"{package} {version}" for package, version in record.versions.items()),
        "seed": str(record.seed),
        "commit": record.commit or "unknown",
    }


def _data(report: RunResults) -> dict[str, str]:
    cohort, release, settings = report.evaluation.cohort, report.release, report.settings
    limit, diagnoses = settings.data.limit, settings.data.diagnoses
    subset = [
        f"at most {count(limit)} images, drawn at random by diagnosis" if limit else "",
        f"only {enumeration([report.names.diagnosis(diagnosis) for diagnosis in diagnoses])}" if diagnoses else "",
    ]
    subgroups = report.evaluation.subgroups.subgroups
    return {
        "source": capital(source(cohort)),
        "data_digest": report.record.digests.data if report.record.digests else "not recorded",
        "subset": capital(", ".join(filter(None, subset))) or "None: all images of the source",
        "synthetic": "All images are generated" if cohort.source == "phantom" else "None were added by this run",
        "parts": enumeration([f"{name} {count(part.images)}" for name, part in cohort.parts.items()]),
        "splitting": splitting(cohort),
        "test_images": plural(cohort.images("test"), "test image"),
        "included": capital("; ".join(f"{name}: {_included(report, name)}" for name in cohort.parts)),
        "characteristics": capital(
            "; ".join(
                f"{attribute} {value}: {count(subgroup.images)}"
                for attribute, by_value in subgroups.items()
                for value, subgroup in by_value.items()
            )
        ),
        "skin_tones": "; ".join(
            f"{tone} {count(subgroup.images)}" for tone, subgroup in subgroups.get("skin tone", {}).items()
        ),
        "release": release.name,
        "release_version": str(release.version),
        "release_digest": release.digest[:MOST_DIGITS],
        "release_description": release.description or "It has no description.",
        "origins": enumeration(sorted({ORIGINS.get(entry.origin, entry.origin) for entry in report.entries.values()})),
        "unmarked": "count as absent" if settings.concepts.unmarked_is_absent else "are left out",
        "reader_agreement": "; ".join(
            f"{report.names.concept(concept)} {estimate(report.agreement[concept].figure)}"
            for concept in report.entries
            if concept in report.agreement
        ),
    }


def _figures(report: RunResults) -> dict[str, str]:
    evaluation, explanation = report.evaluation, report.explanation
    whitened = evaluation.diagnosis.whitened
    subgroups = patients.subgroups(evaluation.subgroups)
    return {
        "comparison": results.comparison(evaluation.diagnosis),
        "performance": f"Macro AUC {estimate(whitened.auc['macro'])}, balanced accuracy "
        f"{estimate(whitened.balanced_accuracy)}.",
        "auc_by_diagnosis": "; ".join(
            f"{report.names.diagnosis(diagnosis)} {short(whitened.auc[diagnosis])}" for diagnosis in evaluation.classes
        ),
        "resamples": count(report.settings.evaluation.resamples),
        "sanity": sanity.summary(explanation.sanity, report.names) or "It was not checked against randomised networks.",
        "subgroups": subgroups,
        "known_subgroups": subgroups if evaluation.subgroups.subgroups else "",
        "failures": failures.rates(explanation.failures),
        "out_of_scope": share(explanation.cases.out_of_scope.share),
        "limits": plural(len(limits_of(report)), "point"),
    }


def _included(report: RunResults, part: str) -> str:
    diagnoses = report.evaluation.cohort.parts[part].diagnoses
    return enumeration([f"{count(images)} {report.names.diagnosis(name)}" for name, images in diagnoses.items()])
