"""``python -m pipeline`` is ``dermaxis``: the form that ``torchrun -m`` needs."""

from pipeline.cli.main import main

main()
