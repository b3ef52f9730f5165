"""``python -m benchmarks [NAME ...]``: runs benchmarks/NAME.py (all of them by default), see `_harness.py`."""

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks._harness import Bench

HERE = Path(__file__).parent


def main(argv=None):
    known = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure tinymm against its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(known)} (default: all)")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each peer in each case (default: 7)")
    parser.add_argument("--threads", type=int, help="threads of every library (default: as many as there are cores)")
    parser.add_argument("--only", default="", metavar="TEXT", help="run only the cases whose name contains TEXT")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the JSON files and pictures")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.names) - set(known))
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are {', '.join(known)}")
    for name in args.names or known:
        bench = Bench(name, rounds=args.rounds, threads=args.threads, only=args.only)
        with bench:
            importlib.import_module(f"benchmarks.{name}").run(bench)
        if bench.rows:
            bench.save(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
