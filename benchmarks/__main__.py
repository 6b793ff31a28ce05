"""`python -m benchmarks NAME [arguments]`: one JSON line a figure as soon as it is measured, then a table of all."""

import importlib
import os
import pkgutil
import platform
import sys

import benchmarks
from benchmarks.figure import Figure, table

NOT_BENCHMARKS = {"__main__", "figure"}


def names() -> list[str]:
    return sorted(
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name not in NOT_BENCHMARKS and not module.name.startswith("_")
    )


def main() -> int:
    # One thread a library call unless the benchmark says otherwise: figures are compared core for core.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    if len(sys.argv) < 2 or sys.argv[1] not in names():
        print(f"usage: python -m benchmarks NAME [arguments]\nnames: {', '.join(names())}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    print(f"{sys.argv[1]}: {os.cpu_count()} cores, load {load:.2f} before the run, Python {platform.python_version()}")
    figures: list[Figure] = []
    try:
        for figure in importlib.import_module(f"benchmarks.{sys.argv[1]}").run(sys.argv[2:]):
            figures.append(figure)
            print(figure.as_json(), flush=True)
    finally:  # what was measured before somebody lost patience counts as well
        print(table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
