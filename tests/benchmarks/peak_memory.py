"""Peak memory of a training step with concept whitening against batch normalisation, each in a process of its own."""

import resource
import subprocess
import sys
from pathlib import Path

import torch
from networks import CLASSES, pictures, plain_resnet, whitened_resnet
from timing import Comparison, summarise
from training_step import step

WHITENED, PLAIN = "whitened", "plain"


def peak_memory(device: torch.device, *, rounds: int = 3) -> Comparison:
    """Figures are bytes, not seconds: what three steps add, at most, to a process that holds network and images."""
    pairs = [(_measure(WHITENED, device), _measure(PLAIN, device)) for _ in range(rounds)]
    return summarise(pairs)


def _measure(kind: str, device: torch.device) -> float:
    here = Path(__file__)
    run = [sys.executable, here.name, kind, str(device)]
    done = subprocess.run(run, cwd=here.parent, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _added(kind: str, device: torch.device) -> float:
    network = plain_resnet(device)
    if kind == WHITENED:
        network = whitened_resnet(network)
    work = step(network, pictures(32, device), torch.arange(32, device=device) % CLASSES)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    before = _peak(device)
    for _ in range(3):
        work()
    return _peak(device) - before


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    sys.stdout.write(str(_added(sys.argv[1], torch.device(sys.argv[2]))))
