"""``python -m clinician_ui``: serve the labelling tool; ``dermaxis ui`` does the same."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from concepts.errors import DermaxisError, SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the tool until it is stopped.

    Returns:
        Exit status: 0, or 2 where something must be put right first; then one line on stderr says what.
    """
    chosen = _parser().parse_args(arguments)
    try:
        _serve(chosen)
    except DermaxisError as error:
        sys.stderr.write(f"dermaxis: {' '.join(str(error).split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dermaxis ui", description="The labelling tool, in the browser.")
    parser.add_argument("--store", help="concept store: a SQLite file or a PostgreSQL URL; default: a demo")
    parser.add_argument("--images", type=Path, help="folder to which the images' paths are relative")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder with the runs to read; default: runs")
    parser.add_argument("--worker", action="store_true", help="do the page Runs' jobs too, on this machine")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--address", default="127.0.0.1", help="which network to listen on; default: this machine only")
    parser.add_argument("--host", action="append", default=[], help="a name under which people reach it; repeatable")
    parser.add_argument("--behind-https", action="store_true", help="a proxy in front speaks HTTPS")
    return parser


def _serve(chosen: argparse.Namespace) -> None:
    from clinician_ui.own_worker import own_worker
    from clinician_ui.server import Serving, serve

    if (chosen.store is None) != (chosen.images is None):
        raise SettingsError("give both --store and --images, or neither to try the tool on generated lesions")
    if chosen.store is None:
        from clinician_ui.demo import open_demo

        _say("Preparing the demo: generated lesions, drawn once (about half a minute)")
        demo = open_demo()
        chosen.store, chosen.images = demo.store, demo.images
        _say(f"Sign in as  {demo.name}  with the password  {demo.password}")
    _say(f"Open http://{'localhost' if chosen.address == '127.0.0.1' else chosen.address}:{chosen.port}")
    with own_worker(chosen.runs, chosen.store) if chosen.worker else nullcontext():
        serve(
            Serving(
                store=chosen.store,
                images=chosen.images,
                runs=chosen.runs,
                address=chosen.address,
                port=chosen.port,
                hosts=tuple(chosen.host),
                behind_https=chosen.behind_https,
            )
        )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
