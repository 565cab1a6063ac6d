"""The sentences of the one-page model facts."""

from pipeline.report.content import RunReport, Verdict
from pipeline.report.sentences import patients as patients_phrasing
from pipeline.report.sentences import results as phrasing
from pipeline.report.sentences import sanity as sanity_phrasing
from pipeline.report.sentences.numerals import capital, count, enumeration, plural, share

CAUTION = (
    "Research software, not a medical device. It was not cleared or certified by anyone, and no study with patients "
    "was made. It must not be used to diagnose or treat anyone."
)
INTENDED_USE = (
    "Research on which dermoscopic concepts a network uses, by readers who know the concepts and the limits below."
)
NOT_FOR = "Not for any decision about a patient: no diagnosis, triage, follow-up or advice."
NETWORK = (
    "A probability for each of these diagnoses and an activation for each concept. It knows no other diagnoses and "
    "always answers, even to an image that shows no lesion; the flag out of scope may warn, or may not."
)


def what_it_is(report: RunReport) -> str:
    """The network in a sentence or two."""
    classes = enumeration([one.name for one in report.classes])
    return (
        f"A {report.architecture} classifier of {classes}, with concept whitening at layer {report.whitening.layer}: "
        f"{plural(len(report.concepts), 'axis', 'axes')} of {count(report.whitening.channels)} named after concepts."
    )


def data(report: RunReport) -> str:
    """What it was trained and tested on."""
    parts = [f"{count(part.images)} {part.name} images" for part in report.cohort.parts]
    release = report.release
    return (
        f"{capital(phrasing.source(report))}: {enumeration(parts)}. {phrasing.splitting(report)} Concepts: release "
        f"{release.name}, version {release.version}."
    )


def concepts(report: RunReport) -> str:
    """How many axes can be trusted, by name."""
    by = {verdict: [one.name for one in report.concepts if report.verdict(one) is verdict] for verdict in Verdict}
    said = [f"{verdict}: {enumeration(names)}" for verdict, names in by.items() if names]
    return f"{capital('; '.join(said))}. An axis that is not reliable must not be read as its concept."


def explanation(report: RunReport) -> str:
    """What carries the decision, and whether that survives the sanity checks."""
    unnamed = f"Unnamed axes carry {share(report.importance[0].unnamed_share)} of what the layer contributes."
    return f"{unnamed} {sanity_phrasing.sanity_summary(report.scrutiny.sanity)}".strip()


def weaknesses(report: RunReport) -> tuple[str, ...]:
    """What a reader must know before relying on any figure."""
    found = report.scrutiny
    said = [
        "Tested on images of its own cohort only; expect worse on those of other clinics, devices and patients.",
        patients_phrasing.failures(found.failures) if found.failures else "",
        patients_phrasing.subgroups(found.subgroups) if found.subgroups else "",
        _skin(report),
        "An axis says what the network used, not what a lesion is, nor what causes a disease.",
    ]
    return tuple(filter(None, said))


def _skin(report: RunReport) -> str:
    found = report.scrutiny.subgroups
    known = found is not None and any(row.attribute == "skin tone" for row in found.rows)
    return "" if known else "Skin tones of the patients are not known, so nothing is known of how it does by skin tone."
