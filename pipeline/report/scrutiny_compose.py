"""``explanation.json`` becomes what the report says about trust."""

from collections.abc import Callable, Mapping
from urllib.parse import quote

from pipeline.explanation.cases.files import FOLDER, case_file
from pipeline.report.scrutiny_content import (
    Check,
    ConceptSanity,
    Failure,
    Failures,
    RankRow,
    Sanity,
    Scrutiny,
    SeenConcept,
    StabilityPanel,
)
from pipeline.report.tree import Tree
from pipeline.run.folder import RunFolder

Naming = Callable[[str], str]


def compose_scrutiny(run: RunFolder, explanation: Tree, *, names: Mapping[str, str], target: Naming) -> Scrutiny:
    """Read what a run says about how far it can be trusted; parts that it does not have are left out.

    Args:
        run: Where cases are.
        explanation: The file.
        names: Of concepts, by identifier.
        target: Gives the name of a diagnosis, or of ``overall``.

    Raises:
        RunError: If something is missing; names the key.
    """
    return Scrutiny(
        sanity=_sanity(explanation["sanity"], names) if "sanity" in explanation else None,
        stability=_stability(explanation["stability"], names, target) if "stability" in explanation else (),
        failures=_failures(run, explanation["failures"], names, target) if "failures" in explanation else None,
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
