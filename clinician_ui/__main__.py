"""``python -m clinician_ui``: serve the labelling tool; ``dermaxis ui`` does the same."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from concepts.addresses import blanked, operator_address, refuse_shown_secret
from concepts.errors import DermaxisError, SettingsError

STORE = "DERMAXIS_STORE"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the tool until it is stopped.

    Returns:
        Exit status: 0; 130 after Ctrl-C; 2 where you must put something right, which one line on stderr names.
    """
    options = _parser().parse_args(arguments)
    try:
        _serve(options)
    except DermaxisError as error:
        sys.stderr.write(f"dermaxis: {blanked(' '.join(str(error).split()))}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dermaxis ui", description="The labelling tool, in the browser.")
    parser.add_argument(
        "--store",
        help="concept store: a SQLite file, a PostgreSQL URL, or @FILE that holds one of these; default: "
        "DERMAXIS_STORE, and without --images a demo",
    )
    parser.add_argument("--images", type=Path, help="folder to which the images' paths are relative")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder with the runs; default: runs")
    parser.add_argument(
        "--data-roots",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="FOLDER",
        help="folders from which jobs of the page Runs may read data and weights, and where they may keep caches; "
        "default: only those that the configurations name",
    )
    parser.add_argument("--worker", action="store_true", help="also start a worker for the page Runs on this machine")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--address", default="127.0.0.1", help="network address to listen on; default: local only")
    parser.add_argument("--host", action="append", default=[], help="a name under which people reach it; repeatable")
    parser.add_argument("--behind-https", action="store_true", help="a proxy in front of the tool speaks HTTPS")
    return parser


def _serve(options: argparse.Namespace) -> None:
    from clinician_ui.own_worker import own_worker
    from clinician_ui.server import Serving, serve

    refuse_shown_secret(options.store, option="--store", variable=STORE)
    if options.images is not None:
        options.store = operator_address(options.store, STORE)
    if (options.store is None) != (options.images is None):
        raise SettingsError("give --store and --images together, or neither to try the tool on generated lesions")
    if options.store is None:
        from clinician_ui.demo import open_demo

        _say("Preparing the demo: lesions are generated once, which takes about half a minute")
        demo = open_demo()
        options.store, options.images = demo.store, demo.images
        _say(f"Sign in as  {demo.name}  with the password  {demo.password}")
    _say(f"Open http://{'localhost' if options.address == '127.0.0.1' else options.address}:{options.port}")
    with own_worker(options.runs, options.store) if options.worker else nullcontext():
        serve(
            Serving(
                store=options.store,
                images=options.images,
                runs=options.runs,
                data_roots=tuple(options.data_roots),
                address=options.address,
                port=options.port,
                hosts=tuple(options.host),
                behind_https=options.behind_https,
            )
        )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
