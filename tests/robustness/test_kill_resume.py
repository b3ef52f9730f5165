"""Killed with SIGKILL at random moments, 20 times: every resume ends bit-identical with the uninterrupted run."""

import random
import subprocess
import sys
import time

import pytest

from tinymm.io import checkpoints

KILLS = 20

TRAIN = """
import sys
import numpy as np
import tinymm as mm
from tinymm import nn, ops, optim
from tinymm.data.loader import Loader
from tinymm.train import fit

rng = np.random.default_rng(0)
x = rng.normal(size=(240, 8)).astype(np.float32)
y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)


def make():
    mm.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 64), nn.GELU(), nn.LayerNorm(64), nn.Dropout(0.3), nn.Linear(64, 2))
    return model, optim.AdamW(model.parameters(), lr=0.003)

def augment(batch, rng):
    return batch[0] + 0.1 * rng.normal(size=batch[0].shape).astype(np.float32), batch[1]

def run(epochs, path, resume):
    model, optimizer = make()
    batches = Loader((x, y), 16, shuffle=True, prefetch=2, transform=augment)
    fit(model, batches, optimizer, lambda model, batch: ops.cross_entropy(model(batch[0]), batch[1]), epochs=epochs,
        clip=1.0, schedule=optim.schedule.cosine(20, 600), keep_best=True, checkpoint=path, checkpoint_every=2,
        resume=resume, validate=lambda model: ops.cross_entropy(model(x), y).item())

run(1, sys.argv[1] + ".warm", False)  # everything is imported, and compiled or read from the cache
print("ready", flush=True)
run(40, sys.argv[1], True)
"""


def start(path):
    """A training process that has imported everything and is about to begin, or to go on."""
    process = subprocess.Popen([sys.executable, "-c", TRAIN, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def finish(path):
    process = start(path)
    assert process.wait(timeout=300) == 0
    process.stdout.close()
    return checkpoints.load(path)


def assert_same(a, b, name="state"):
    if isinstance(a, dict):
        assert a.keys() == b.keys(), name
        for key in a:
            if key != "seconds":
                assert_same(a[key], b[key], f"{name}.{key}")
    elif isinstance(a, list):
        assert len(a) == len(b), name
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f"{name}[{i}]")
    elif hasattr(a, "tobytes"):
        assert a.tobytes() == b.tobytes(), name
    else:
        assert a == b, name


@pytest.mark.slow
def test_killed_twenty_times_ends_where_an_uninterrupted_run_does(tmp_path):
    whole = tmp_path / "whole.safetensors"
    process = start(whole)
    started = time.perf_counter()
    assert process.wait(timeout=300) == 0
    process.stdout.close()
    duration = time.perf_counter() - started
    expected = checkpoints.load(whole)
    assert len(expected["history"]["loss"]) == 600

    path, draw, steps = tmp_path / "killed.safetensors", random.Random(5), [0]
    for _ in range(KILLS):
        process = start(path)
        time.sleep(draw.uniform(0, 1) * duration / KILLS)  # half of the run in all: it is never at its end
        assert process.poll() is None
        process.kill()
        process.wait()
        process.stdout.close()
        if path.exists():
            steps.append(len(checkpoints.load(path)["history"]["loss"]))  # whatever the moment, it loads
    assert steps == sorted(steps)
    assert len(set(steps)) >= KILLS // 2, f"the kills fell between too few checkpoints to prove anything: {steps}"
    assert_same(expected, finish(path))
