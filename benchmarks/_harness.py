"""Measures tinymm and its peers in turn, in one run, with the same number of threads.

A benchmark is a file ``benchmarks/NAME.py`` with one function::

    def run(bench):
        import torch                                   # peers are imported in here
        x = np.random.default_rng(0).normal(size=(4096, 256)).astype(np.float32)
        t = torch.from_numpy(x)
        bench.compare(
            "softmax 4096x256",                        # the name of the case
            {                                          # who computes it: functions without arguments
                "tinymm": lambda: kernels.softmax(x),  # names that begin with "tinymm" are ours, the others are peers
                "torch": lambda: torch.softmax(t, -1),
            },
            target=1.0,                                # the ratio that we want to reach
            tolerance=1e-5,                            # how far the outputs may be apart; None: do not compare
            work=x.size / 1e9, unit="G/s",             # optional: work of one call, printed as work / seconds
        )

``bench.compare`` first calls every function once and compares the outputs (arrays, tensors, or sequences of them)
with the first peer's; a difference ends the run. Then it goes through `rounds` rounds. In a round each function has
one turn of `seconds` seconds, in which it is called again and again; the turn counts as the lower quartile of its
calls, since other programs on the machine only ever add time. Between two turns there is a short pause, because the
threads of some libraries keep spinning after a product. A function's time is the median over its turns;
**ratio = peer's time / our time, so above 1 tinymm is the faster one.**

* ``calls=1`` makes a turn one single call, without warming up: for whole trainings. Give ``rounds=3`` with it.
* ``setup={"tinymm": f, ...}``: functions that are called before each turn, untimed (to put a state back).
* ``bench.process("benchmarks.NAME", "FUNCTION")`` starts a process of its own for a peer that must be measured
  without tinymm beside it. ``FUNCTION(**arguments)`` prepares one case there and returns the function to be timed;
  ``bench.compare(..., {"tinymm": f, "numpy": process.case(m=64, n=64)})`` then treats it like any other peer.
  benchmarks/NAME.py is imported in that process, so tinymm may be imported only inside its functions.
* ``bench.note("text")`` adds a line to the report.

Every library runs on ``bench.threads`` threads. The table is printed as it grows; at the end the rows are written as
JSON and as a picture into benchmarks/results/.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PAUSE = 0.06  # seconds; OpenBLAS's threads spin for up to 0.03 s after a product
SHORTEST = 1e-4  # seconds; faster functions are called several times between two looks at the clock


class Bench:
    """Collects the rows of one benchmark; see the text of this module.

    Parameters
    ----------
    name : str
        The name of the report and of the files.
    rounds : int
        Turns of each function in each case.
    threads : int, optional
        Threads of every library; all cores by default.
    only : str
        Skip the cases whose name does not contain this.
    """

    def __init__(self, name, rounds=7, threads=None, only=""):
        self.name = name
        self.rounds = rounds
        self.threads = threads or available_cores()
        self.only = only
        self.rows = []
        self.notes = []
        self._workers = []
        # Libraries read these when they are first imported, here and in the processes of the peers.
        for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
            os.environ[variable] = str(self.threads)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for worker in self._workers:
            worker.close()

    def note(self, text):
        """Print a line and keep it for the report."""
        self.notes.append(text)
        print(text, flush=True)

    def process(self, module, function, without=()):
        """A process of its own for a peer; ``.case(**arguments)`` of the result is that peer in one case.

        `without` names environment variables that the process does not inherit.
        """
        worker = _Process(module, function, without)
        self._workers.append(worker)
        return worker

    def compare(
        self,
        case,
        functions,
        *,
        target=1.0,
        tolerance=1e-4,
        work=None,
        unit="",
        seconds=0.06,
        rounds=None,
        calls=None,
        setup=None,
    ):
        """Measure one case; the text of this module explains the arguments.

        Returns
        -------
        dict
            Name of the function -> seconds of a call, or None where the case was left out.

        Raises
        ------
        AssertionError
            If two outputs are farther apart than ``tolerance`` times the largest value (at least 1).
        """
        if self.only not in case:
            return None
        runners = {name: f if isinstance(f, _Case) else _Here(f) for name, f in functions.items()}
        setup = setup or {}
        self._set_threads()
        if tolerance is not None:
            self._agree(case, runners, setup, tolerance)
        turns = {name: [] for name in runners}
        for _ in range(rounds or self.rounds):
            for name, runner in runners.items():
                setup.get(name, _nothing)()
                time.sleep(PAUSE)
                turns[name].append(runner.turn(seconds, calls))
        times = {name: statistics.median(each) for name, each in turns.items()}
        ours = [name for name in runners if name.startswith("tinymm")]
        peers = [name for name in runners if name not in ours]
        for mine in ours:
            for peer in peers:
                each = [p / o for p, o in zip(turns[peer], turns[mine])]
                self._row(
                    case=case,
                    ours=mine,
                    peer=peer,
                    our_seconds=times[mine],
                    peer_seconds=times[peer],
                    ratio=times[peer] / times[mine],
                    lowest=min(each),
                    highest=max(each),
                    target=target,
                    our_rate=work / times[mine] if work else None,
                    peer_rate=work / times[peer] if work else None,
                    unit=unit,
                )
        return times

    def save(self, folder):
        """Write NAME.json and NAME.png into `folder`, and print the summary."""
        ratios = [row["ratio"] for row in self.rows]
        missed = [row for row in self.rows if row["ratio"] < row["target"]]
        print(f"{self.name}: median ratio {statistics.median(ratios):.2f}, lowest {min(ratios):.2f}, "
              f"{len(missed)} of {len(ratios)} below target")
        print(self.where())
        folder.mkdir(parents=True, exist_ok=True)
        report = {
            "name": self.name,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "processor": processor(),
            "threads": self.threads,
            "versions": versions(),
            "notes": self.notes,
            "rows": self.rows,
        }
        (folder / f"{self.name}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        self._draw(folder / f"{self.name}.png")
        print(f"written: {folder / self.name}.json and .png", flush=True)

    def where(self):
        """One line: processor, threads, versions."""
        found = ", ".join(f"{name} {version}" for name, version in versions().items())
        return f"{processor()}, {self.threads} threads; {found}"

    def _set_threads(self):
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(self.threads)
        if "numba" in sys.modules:
            sys.modules["numba"].set_num_threads(self.threads)

    def _agree(self, case, runners, setup, tolerance):
        peers = [name for name in runners if not name.startswith("tinymm")] or list(runners)
        values = {}
        for name, runner in runners.items():
            setup.get(name, _nothing)()
            values[name] = runner.value()
        expected = values[peers[0]]
        for name, value in values.items():
            assert len(value) == len(expected), f"{case}: {name} gave {len(value)} outputs, {peers[0]} {len(expected)}"
            for a, b in zip(value, expected):
                assert a.shape == b.shape, f"{case}: {name} gave shape {a.shape}, {peers[0]} {b.shape}"
                largest = max(1.0, float(np.abs(b).max(initial=0)))
                apart = float(np.abs(a.astype(np.float64) - b).max(initial=0)) / largest
                assert apart <= tolerance, f"{case}: {name} and {peers[0]} are {apart:.2g} apart, over {tolerance:.2g}"

    def _row(self, **row):
        if not self.rows:
            print(f"\n{self.name}: {processor()}, {self.threads} threads; ratio = peer's time / our time")
            head = f"{'case':44} {'ours':>14} {'peer':>12} {'our time':>10} {'peer time':>10} {'ratio':>6}"
            print(f"{head}  (range)")
        self.rows.append(row)
        rate = f"{row['our_rate']:9.4g} against {row['peer_rate']:.4g} {row['unit']}" if row["our_rate"] else ""
        low = "" if row["ratio"] >= row["target"] else f"  below {row['target']:g}"
        print(
            f"{row['case']:44} {row['ours']:>14} {row['peer']:>12} {_time(row['our_seconds']):>10} "
            f"{_time(row['peer_seconds']):>10} {row['ratio']:6.2f}  ({row['lowest']:.2f}-{row['highest']:.2f}) "
            f"{rate}{low}",
            flush=True,
        )

    def _draw(self, path):
        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        labels = [f"{row['case']}  ({row['ours']} / {row['peer']})" for row in self.rows]
        ratios = [row["ratio"] for row in self.rows]
        met = [row["ratio"] >= row["target"] for row in self.rows]
        figure, axes = plt.subplots(figsize=(9, 1.2 + 0.24 * len(labels)), layout="constrained")
        axes.barh(range(len(labels)), ratios, color=["#1f77b4" if ok else "#d98c3f" for ok in met])
        axes.set_yticks(range(len(labels)), labels, fontsize=7)
        axes.invert_yaxis()
        axes.margins(y=0.01)
        axes.set_xscale("log", base=2)
        axes.set_xlim(min(0.5, min(ratios)) / 1.1, max(2.0, max(ratios)) * 1.3)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.axvline(1, color="black", linewidth=1)
        for place, ratio in enumerate(ratios):
            axes.text(ratio, place, f" {ratio:.2f}", va="center", fontsize=7)
        axes.set_xlabel("peer's time / our time (right of 1: tinymm is faster; orange: below target)")
        axes.set_title(f"{self.name}: {processor()}, {self.threads} threads", fontsize=9)
        figure.savefig(path, dpi=120)
        plt.close(figure)


def available_cores():
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor():
    """The processor's name, as well as the system tells it."""
    name = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    elif sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return name or platform.processor() or platform.machine()


def versions():
    """Name -> version of the libraries that matter and are loaded here."""
    wanted = ("numpy", "scipy", "numba", "torch", "gensim", "autograd")
    return {name: importlib.metadata.version(name) for name in wanted if name in sys.modules}


class _Here:
    """A function of this process."""

    def __init__(self, function):
        self.function = function

    def value(self):
        return _arrays(self.function())

    def turn(self, seconds, calls):
        return typical_call(self.function, seconds, calls)


class _Case:
    """One case of a peer that lives in another process."""

    def __init__(self, process, arguments):
        self.process, self.arguments = process, arguments

    def value(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "value.npz"
            self.process.ask(arguments=self.arguments, save=str(path))
            with np.load(path) as stored:
                return [stored[f"arr_{i}"] for i in range(len(stored.files))]

    def turn(self, seconds, calls):
        return self.process.ask(arguments=self.arguments, seconds=seconds, calls=calls)


class _Process:
    """Runs ``function(**arguments)()`` of a module in a Python process of its own, one question a line."""

    def __init__(self, module, function, without=()):
        environment = {name: value for name, value in os.environ.items() if name not in without}
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        self.child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._harness", module, function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def case(self, **arguments):
        return _Case(self, arguments)

    def ask(self, **question):
        self.child.stdin.write(json.dumps(question) + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peer's process ended with exit code {self.child.wait()}; its error stands above")
        return json.loads(answer)

    def close(self):
        self.child.stdin.close()
        self.child.wait(timeout=30)


def typical_call(function, seconds, calls=None):
    """Seconds of a call: lower quartile of as many as fit into `seconds`, warmed up; or median of `calls` calls."""
    if calls is not None:
        return statistics.median(_timed(function, 1) for _ in range(calls))
    _timed(function, 1)
    inner = max(1, math.ceil(SHORTEST / max(_timed(function, 1), 1e-9)))
    samples = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples) < 3:
        samples.append(_timed(function, inner))
    return sorted(samples)[len(samples) // 4]


def _timed(function, inner):
    start = time.perf_counter()
    for _ in range(inner):
        function()
    return (time.perf_counter() - start) / inner


def _arrays(value):
    """The output of a function as a list of arrays."""
    values = value if isinstance(value, (tuple, list)) else [value]
    return [np.asarray(v.detach() if hasattr(v, "detach") else v) for v in values]


def _nothing():
    pass


def _time(seconds):
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.1f} {unit}"
    return f"{seconds:.2f} s"


def _answer_questions(module, function):
    """The other end of `_Process`."""
    prepare = getattr(importlib.import_module(module), function)
    answers = os.fdopen(os.dup(1), "w")  # what the library itself prints must not end up among the answers
    os.dup2(2, 1)
    current, call = None, None
    for line in sys.stdin:
        question = json.loads(line)
        if question["arguments"] != current:
            current, call = question["arguments"], prepare(**question["arguments"])
        if "save" in question:
            np.savez(question["save"], *_arrays(call()))
            answer = None
        else:
            answer = typical_call(call, question["seconds"], question["calls"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Internal: the process of a peer.")
    parser.add_argument("module")
    parser.add_argument("function")
    _answer_questions(**vars(parser.parse_args()))
