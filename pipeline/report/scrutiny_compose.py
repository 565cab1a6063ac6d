"""``evaluation.json`` and ``explanation.json`` become what the report says about trust."""

from collections.abc import Callable, Mapping
from urllib.parse import quote

from concepts.statistics.intervals import is_finite
from pipeline.comparison.noise import judged
from pipeline.explanation.cases.files import FOLDER, case_file
from pipeline.report.scrutiny_content import (
    CeilingFigures,
    Check,
    ConceptOnly,
    ConceptSanity,
    Failure,
    Failures,
    LabelClassifier,
    RankRow,
    Sanity,
    Scrutiny,
    SeenConcept,
    StabilityPanel,
    SubgroupRow,
    Subgroups,
)
from pipeline.report.tree import Tree
from pipeline.results.comparison import Method
from pipeline.run.folder import RunFolder

Naming = Callable[[str], str]


def compose_scrutiny(
    run: RunFolder, evaluation: Tree, explanation: Tree, *, names: Mapping[str, str], target: Naming
) -> Scrutiny:
    """Read what a run says about how far it can be trusted; parts that it does not have are left out.

    Args:
        run: Where cases are.
        evaluation: The file.
        explanation: The file.
        names: Of concepts, by identifier.
        target: Gives the name of a diagnosis, or of ``overall``.

    Raises:
        RunError: If something is missing; names the key.
    """
    return Scrutiny(
        sanity=_sanity(explanation["sanity"], names) if "sanity" in explanation else None,
        stability=_stability(explanation["stability"], names, target) if "stability" in explanation else (),
        subgroups=_subgroups(evaluation["subgroups"]) if "subgroups" in evaluation else None,
        failures=_failures(run, explanation["failures"], names, target) if "failures" in explanation else None,
        concept_only=_concept_only(evaluation["concept_only"]) if "concept_only" in evaluation else None,
    )


def _sanity(tree: Tree, names: Mapping[str, str]) -> Sanity:
    weights, labels = tree["importance_randomised_weights"], tree["importance_permuted_labels"]
    return Sanity(
        draws=int(tree["draws"].content),
        concepts=tuple(
            ConceptSanity(
                name=names.get(concept, concept),
                weights={target: _check(row[concept]) for target, row in weights.items()},
                labels={target: _check(row[concept]) for target, row in labels.items()},
                purity=_check(purity),
            )
            for concept, purity in tree["purity_permuted_labels"].items()
        ),
    )


def _check(tree: Tree) -> Check:
    verdict = tree["meaningless"].content
    own, null, difference = (tree[key].estimate() for key in ("own", "null", "difference"))
    return Check(own, null, difference, None if verdict is None else bool(verdict))


def _stability(tree: Tree, names: Mapping[str, str], target: Naming) -> tuple[StabilityPanel, ...]:
    return tuple(
        StabilityPanel(
            target=target(key),
            tau=panel["tau"].estimate(),
            resamples=int(panel["resamples"].content),
            rows=tuple(
                sorted(
                    (
                        RankRow(
                            names.get(concept, concept),
                            row["rank"].estimate(),
                            float(row["first"].content),
                            float(row["same"].content),
                        )
                        for concept, row in panel["concepts"].items()
                    ),
                    key=lambda row: row.rank.value,
                )
            ),
        )
        for key, panel in tree.items()
        if panel.content is not None
    )


def _subgroups(tree: Tree) -> Subgroups:
    rows = [(name, value, row) for name, part in tree["subgroups"].items() for value, row in part.items()]
    comparisons = sum(is_finite(row["difference"].estimate()) for _, _, row in rows)
    return Subgroups(
        rows=tuple(_subgroup(name, value, row, comparisons) for name, value, row in rows),
        unknown={key: int(one.content) for key, one in tree["unknown"].items()},
        fewest=int(tree["fewest"].content),
        comparisons=comparisons,
    )


def _subgroup(attribute: str, value: str, row: Tree, comparisons: int) -> SubgroupRow:
    difference = row["difference"].estimate()
    return SubgroupRow(
        attribute=attribute,
        value=value,
        images=int(row["images"].content),
        groups=int(row["groups"].content),
        macro=row["auc"]["macro"].estimate(),
        balanced_accuracy=row["balanced_accuracy"].estimate(),
        difference=judged("", difference, Method.UNPAIRED, comparisons=comparisons) if is_finite(difference) else None,
        reason=row["reason"].content,
    )


def _failures(run: RunFolder, tree: Tree, names: Mapping[str, str], target: Naming) -> Failures:
    return Failures(
        wrong=tree["wrong"].estimate(),
        confident=float(tree["confident"].content),
        wrong_where_confident=tree["wrong_where_confident"].estimate(),
        gallery=tuple(
            _failure(run, Tree(one, f"{tree.place}.gallery"), names, target) for one in tree["gallery"].content
        ),
    )


def _failure(run: RunFolder, one: Tree, names: Mapping[str, str], target: Naming) -> Failure:
    image_id = str(one["image_id"].content)
    concepts = [Tree(each, f"{one.place}.concepts") for each in one["concepts"].content]
    return Failure(
        image_id=image_id,
        truth=target(str(one["truth"].content)),
        call=target(str(one["call"].content)),
        probability=float(one["probability"].content),
        probability_of_truth=float(one["probability_of_truth"].content),
        concepts=tuple(
            SeenConcept(
                names.get(str(each["concept"].content), str(each["concept"].content)),
                str(each["state"].content),
                None if each["label"].content is None else bool(each["label"].content),
            )
            for each in concepts
        ),
        picture=str(one["picture"].content),
        page=case_page_address(image_id) if run.has(case_file(image_id)) else None,
    )


def case_page_address(image_id: str) -> str:
    """Where a case's page lies, seen from the report beside it; the file's own name is quoted already."""
    return quote(f"{FOLDER}/{quote(image_id, safe='')}.html")


def _concept_only(tree: Tree) -> ConceptOnly:
    return ConceptOnly(
        images=int(tree["images"].content),
        left_out=int(tree["left_out"].content),
        ceiling=_ceiling(tree["ceiling"]) if "ceiling" in tree else None,
        classifier=_classifier(tree) if "logistic" in tree else None,
    )


def _ceiling(tree: Tree) -> CeilingFigures:
    return CeilingFigures(
        accuracy=tree["accuracy"].estimate(),
        balanced_accuracy=tree["balanced_accuracy"].estimate(),
        conflicting=tree["conflicting"].estimate(),
        profiles=int(tree["profiles"].content),
        single=int(tree["single"].content),
    )


def _classifier(tree: Tree) -> LabelClassifier:
    own = tree["logistic"]
    test = next((branch for key, branch in tree.items() if key == "test"), None)
    return LabelClassifier(
        macro=own["macro_auc"].estimate(),
        balanced_accuracy=own["balanced_accuracy"].estimate(),
        test_macro=test["logistic"].estimate() if test else None,
        network_macro=test["network"].estimate() if test else None,
        difference=test["difference"].estimate() if test else None,
    )
