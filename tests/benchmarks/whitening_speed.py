"""What concept whitening costs: every figure of docs/explanation/speed.md. `make bench` runs it on an idle machine."""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from alignment_pass import alignment_pass
from folded_network import folded_network
from importance_pass import importance_pass
from layer_alone import SHAPES, layer_alone
from peak_memory import peak_memory
from rotation_update import closed_form, low_rank
from timing import Comparison
from training_step import training_step

Row = Callable[[torch.device], Comparison]

ROWS: dict[str, tuple[Row, float]] = {
    "folded network, inference": (folded_network, 1.02),
    "training step, ResNet-18": (training_step, 1.04),
    "layer alone, 32 x 512 x 7 x 7": (partial(layer_alone, shape=SHAPES[0]), 0.6),
    "layer alone, 32 x 64 x 56 x 56": (partial(layer_alone, shape=SHAPES[1]), 0.6),
    "rotation, closed form": (closed_form, 1 / 50),
    "rotation, low-rank Cayley": (low_rank, 1 / 50),
    "alignment pass": (alignment_pass, 1.05),
    "importance, 20 permutations": (importance_pass, 1 / 20),
    "peak memory of a training step": (peak_memory, 1.10),
}


def main() -> None:
    """Measure the rows asked for, print a table, and write the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="beginnings of the rows to measure; default: all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="file for the figures")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    wanted = [name for name in ROWS if not asked.rows or name.startswith(tuple(asked.rows))]
    say(f"torch {torch.__version__}, {platform.machine()}, {asked.device}, {asked.threads} threads\n")
    say(f"{'what':34} {'ratio':>8} {'quartiles':>17} {'target':>8} {'candidate':>11} {'reference':>11} rounds\n")
    comparisons = {}
    for name in wanted:
        row, target = ROWS[name]
        comparison = row(torch.device(asked.device))
        comparisons[name] = asdict(comparison) | {"target": target}
        say(line(name, comparison, target))
    if asked.json:
        asked.json.write_text(json.dumps(comparisons, indent=1) + "\n")


def line(name: str, comparison: Comparison, target: float) -> str:
    """One row of the table; times in milliseconds, memory in MiB."""
    scale = 2**-20 if "memory" in name else 1e3
    unit = "MiB" if "memory" in name else "ms"
    low, high = comparison.quartiles
    times = f"{comparison.candidate * scale:8.1f} {unit:3} {comparison.reference * scale:7.1f} {unit:3}"
    return f"{name:34} {comparison.ratio:8.4f} {low:8.4f}-{high:8.4f} {target:8.4f} {times} {comparison.rounds:5}\n"


def say(text: str) -> None:
    """Print at once, so that a long run shows how far it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
