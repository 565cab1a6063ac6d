"""Commands on runs that exist: do a stage again, suppress axes, compare, export."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concepts.addresses import blanked, operator_address, refuse_shown_secret
from concepts.errors import DermaxisError

if TYPE_CHECKING:
    from pipeline.run.folder import RunFolder
    from pipeline.run.progress import Tracker

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, e.g. runs/phantom-20260101-120000")]
NamedPaths = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=PATH",
        help="Paths of the run's settings that may be followed out of its folder, e.g. data.root=FOLDER",
    ),
]
PathOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--path", metavar="KEY=PATH", help="Path of the run's settings that may be followed, e.g. data.root=FOLDER"
    ),
]
MLFLOW = "DERMAXIS_MLFLOW"
"""Environment variable with the address of the MLflow store."""


def evaluate(run_path: RunPath, paths: NamedPaths = None) -> None:
    """Evaluate a trained run again and write evaluation.json."""
    from pipeline.retrain import redo
    from pipeline.stages import Stage

    typer.echo(redo(run_path, Stage.EVALUATION, tracker=make_tracker(), paths=paths or ()).file("evaluation.json"))


def explain(
    run_path: RunPath,
    paths: NamedPaths = None,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="IMAGE", help="Explain this image only: an image_id of the run, or a file"),
    ] = None,
) -> None:
    """Explain a run again (explanation.json, cases/), or a single image with the run's network."""
    if image is not None:
        from pipeline.explanation.cases.network import explain_image
        from pipeline.report.pages.case import write_case_page
        from pipeline.run.folder import open_run

        image_id, file = explain_image(run_path, image, paths=paths or ())
        typer.echo(file)
        typer.echo(write_case_page(open_run(run_path), image_id))
        return
    from pipeline.retrain import redo
    from pipeline.stages import Stage

    typer.echo(redo(run_path, Stage.EXPLANATION, tracker=make_tracker(), paths=paths or ()).file("explanation.json"))


def report(
    run_path: RunPath,
    paths: NamedPaths = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also write report.pdf; needs the extra 'pdf'")] = False,
) -> None:
    """Write the report of a run again: report.html, model facts, checklists and CSV files.

    A run that lacks nothing but its report is finished by it.
    """
    from pipeline.report.pages.pdf import require_weasyprint, write_pdf
    from pipeline.retrain import redo
    from pipeline.stages import Stage

    if pdf:
        require_weasyprint()
    folder = redo(run_path, Stage.REPORT, tracker=make_tracker(), paths=paths or ())
    typer.echo(folder.file("report.html"))
    if pdf:
        typer.echo(write_pdf(folder))


def suppress(
    run_path: RunPath,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME …", help="Concepts that have an axis, or artefacts that were audited")
    ],
    epochs: Annotated[
        int,
        typer.Option("--epochs", min=0, help="Epochs of further training, without them, of the part after the layer"),
    ] = 0,
    paths: PathOptions = None,
) -> None:
    """Hide axes or artefacts from a run's network, and measure everything again in a new run."""
    from pipeline.retrain import redo
    from pipeline.stages import Stage
    from pipeline.suppress import suppress_run

    tracker = make_tracker()
    suppressed = suppress_run(run_path, names, epochs=epochs, tracker=tracker, paths=paths or ())
    conclude(redo(suppressed.path, Stage.REPORT, tracker=tracker, paths=paths or ()))


def compare(
    run_paths: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN …", help="Finished runs; the others are compared with the first")
    ],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE.html", help="Write a page, and CSV and JSON files beside it"),
    ] = None,
) -> None:
    """Compare runs: what differs, and whether by more than noise."""
    from pipeline.comparison.runs import compare_runs
    from pipeline.report.pages.comparison import terminal_comparison, write_comparison

    comparison = compare_runs(run_paths)
    typer.echo(terminal_comparison(comparison))
    for file in write_comparison(comparison, out) if out is not None else []:
        typer.echo(file)


def export(
    run_path: RunPath,
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="Write the network as a single ONNX file")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="FOLDER", help="Write the network as a MONAI bundle")
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            "--mlflow",
            metavar="URI|FOLDER|@FILE",
            help="Write settings, figures and files to an MLflow store; without any of the options, to DERMAXIS_MLFLOW",
        ),
    ] = None,
) -> None:
    """Export a finished run: its network, with whitening folded in and concept activations as outputs, or its figures.

    You can give several of the options at once.
    """
    refuse_shown_secret(mlflow, option="--mlflow", variable=MLFLOW)
    if mlflow is not None or (onnx is None and bundle is None):
        mlflow = operator_address(mlflow, MLFLOW)
    if onnx is None and bundle is None and mlflow is None:
        raise DermaxisError("nothing to export: give --onnx FILE, --bundle FOLDER or --mlflow URI|FOLDER")
    if onnx is not None:
        from pipeline.export.onnx import export_onnx

        export_onnx(run_path, onnx)
        typer.echo(onnx)
    if bundle is not None:
        from pipeline.export.bundle import export_bundle

        export_bundle(run_path, bundle)
        typer.echo(bundle)
    if mlflow is not None:
        from pipeline.export.mlflow_store import export_mlflow

        typer.echo(f"MLflow run {export_mlflow(run_path, mlflow)} in {blanked(mlflow)}")


def is_first_process() -> bool:
    """Tell whether this is the only process of a run, or under torchrun the one that speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def make_tracker() -> "Tracker":
    """Make the tracker of this process: bars, or silence where another process speaks."""
    from pipeline.run.progress import Bars, Silent

    return Bars() if is_first_process() else Silent()


def conclude(folder: "RunFolder") -> None:
    """Print a finished run's figures and where its report is."""
    if is_first_process():
        from pipeline.report.pages.tables import terminal_table

        typer.echo(terminal_table(folder))
        typer.echo(f"report: {folder.file('report.html')}")


def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="One file, e.g. evaluation.json; default: all of them")
    ] = None,
) -> None:
    """Print the JSON schemas of a run's files, so that other programs can read them."""
    import json

    from pipeline.results.schema import file_schemas

    schemas = file_schemas()
    if name is not None and name not in schemas:
        raise DermaxisError(f"{name!r:.60}: no schema of that name; there are {', '.join(schemas)}")
    typer.echo(json.dumps(schemas if name is None else schemas[name], indent=1, ensure_ascii=False))
