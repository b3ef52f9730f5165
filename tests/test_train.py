"""The loader and the training loop: order, place, resume, early stop, Ctrl-C, errors."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import tinymm as mm
from tinymm import nn, optim
from tinymm.data.loader import Loader
from tinymm.io import checkpoints
from tinymm.train import fit

DATA = np.arange(10.0)


# ---- the loader -----------------------------------------------------------------------------------------------------


def epoch(loader):
    return [batch.tolist() for batch in loader]


def test_batches_in_order():
    assert epoch(Loader(np.arange(5), 2)) == [[0, 1], [2, 3], [4]]
    loader = Loader(np.arange(5), 2, drop_last=True)
    assert epoch(loader) == [[0, 1], [2, 3]] and len(loader) == 2


def test_each_epoch_has_an_order_of_its_own_that_follows_from_the_seed():
    loader = Loader(np.arange(50), 50, shuffle=True, seed=3)
    first, second = epoch(loader), epoch(loader)
    assert sorted(first[0]) == sorted(second[0]) == list(range(50))
    assert first != second
    again = Loader(np.arange(50), 50, shuffle=True, seed=3)
    assert [epoch(again), epoch(again)] == [first, second]
    assert epoch(Loader(np.arange(50), 50, shuffle=True, seed=4)) != first


def test_the_order_does_not_touch_the_librarys_generator():
    before = mm.autograd.random.get_state()
    epoch(Loader(np.arange(5), 2, shuffle=True))
    assert mm.autograd.random.get_state() == before


@pytest.mark.parametrize("prefetch", [0, 1, 3])
@pytest.mark.parametrize("consumed", [0, 1, 4, 5, 7])
def test_the_state_is_of_the_batch_consumed_and_goes_on_there(prefetch, consumed):
    def make():
        return Loader(np.arange(10), 2, shuffle=True, seed=1, prefetch=prefetch,
                      transform=lambda batch, rng: batch + rng.normal(size=batch.shape))

    def draw(loader, count):
        found = []
        while len(found) < count:
            for batch in loader:
                found.append(batch.tolist())
                if len(found) == count:
                    if loader.prefetch:
                        time.sleep(0.02)  # lets the thread run ahead
                    state = loader.state_dict()
                    return found, state
        return found, loader.state_dict()

    whole, _ = draw(make(), 12)
    first, state = draw(make(), consumed)
    rest = make()
    rest.load_state_dict(state)
    assert first + draw(rest, 12 - consumed)[0] == whole


def test_prefetching_gives_the_same_batches():
    plain, ahead = Loader(DATA, 3, shuffle=True), Loader(DATA, 3, shuffle=True, prefetch=2)
    assert [epoch(plain), epoch(plain)] == [epoch(ahead), epoch(ahead)]


def test_leaving_an_epoch_early_starts_the_next_one_and_ends_the_thread():
    loader = Loader(np.arange(10), 2, prefetch=2)
    for _ in loader:
        break
    assert not [t for t in threading.enumerate() if t.name == "tinymm loader"]
    assert len(epoch(loader)) == 5
    assert loader.epoch == 2


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_in_the_data_arrives_where_the_batch_is_taken(prefetch):
    class Bad:
        def __len__(self):
            return 4

        def __getitem__(self, i):
            if i == 2:
                raise OSError("picture 2 is damaged")
            return np.float32(i)

    batches = iter(Loader(Bad(), 1, prefetch=prefetch))
    assert [next(batches).tolist(), next(batches).tolist()] == [[0], [1]]
    with pytest.raises(OSError, match="picture 2 is damaged"):
        next(batches)


def test_tuples_dicts_and_data_sets():
    x, y = np.arange(6).reshape(3, 2), np.arange(3)
    for data in [(x, y), [(x[i], y[i]) for i in range(3)]]:
        a, b = next(iter(Loader(data, 2)))
        np.testing.assert_array_equal(a, x[:2])
        np.testing.assert_array_equal(b, y[:2])
    for data in [{"x": x, "y": y}, [{"x": x[i], "y": y[i]} for i in range(3)]]:
        batch = next(iter(Loader(data, 2)))
        np.testing.assert_array_equal(batch["x"], x[:2])
        np.testing.assert_array_equal(batch["y"], y[:2])
    assert next(iter(Loader(["a", "bc"], 2, collate="".join))) == "abc"


@pytest.mark.parametrize(("make", "message"), [
    (lambda: Loader(DATA, 0), "batch_size is 0"),
    (lambda: Loader(DATA, -2), "batch_size is -2"),
    (lambda: Loader(DATA, prefetch=-1), "prefetch is -1"),
    (lambda: Loader(np.empty((0, 3))), "there is no data"),
    (lambda: Loader([]), "there is no data"),
    (lambda: Loader(DATA, 11, drop_last=True), "10 items do not fill one batch of 11"),
    (lambda: Loader((DATA, DATA[:3])), r"the arrays have \[10, 3\] items"),
    (lambda: Loader(DATA, collate=list), "collate is for data sets"),
    (lambda: Loader(DATA, 2).load_state_dict({"seed": 0, "epoch": 0, "batch": 6}), "at batch 6 of 5"),
    (lambda: Loader(DATA, 2).load_state_dict({"epoch": 0}), "the state has epoch; expected seed, epoch, batch"),
])
def test_wrong_loaders_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# ---- fit ------------------------------------------------------------------------------------------------------------

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


def loss_fn(model, batch):
    x, y = batch
    return mm.ops.cross_entropy(model(x), y)


def accuracy(model):
    assert not model.training
    y = model(X)
    assert y.node is None
    return {"accuracy": (y.data.argmax(axis=1) == Y).mean()}


def make(**options):
    """A model with dropout, an optimizer and a shuffling loader, always the same."""
    mm.manual_seed(7)
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2))
    return model, Loader((X, Y), 8, shuffle=True, **options), optim.AdamW(model.parameters(), lr=0.01), loss_fn


def assert_same_model(one, other):
    for name, value in one.state_dict().items():
        np.testing.assert_array_equal(value, other.state_dict()[name], err_msg=name)


def test_it_learns_and_reports():
    model, *rest = make()
    history = fit(model, *rest, epochs=20, validate=accuracy, higher_is_better=True)
    assert history.stopped == "epochs" and history.epochs == 20
    assert len(history.loss) == len(history.lr) == 20 * 8
    assert [m["step"] for m in history.metrics] == list(range(8, 161, 8))
    assert np.mean(history.loss[-8:]) < 0.5 * np.mean(history.loss[:8])
    assert history.metrics[history.best]["accuracy"] == max(m["accuracy"] for m in history.metrics) > 0.9
    assert history.seconds > 0
    assert not model.training


def test_steps_end_in_the_middle_of_an_epoch_with_a_validation():
    history = fit(*make(), steps=11, validate=accuracy, higher_is_better=True)
    assert history.stopped == "steps" and len(history.loss) == 11
    assert [m["step"] for m in history.metrics] == [8, 11]


def test_schedule_and_clip_reach_the_optimizer():
    model, batches, optimizer, _ = make()
    norms = []

    def see(model, history):
        norms.append(optim.clip_grad_norm_(model.parameters(), np.inf))

    history = fit(model, batches, optimizer, loss_fn, steps=6, schedule=optim.schedule.linear(3, 6), clip=0.01,
                  callbacks=[see])
    np.testing.assert_allclose(history.lr, [0, 0.01 / 3, 0.02 / 3, 0.01, 0.02 / 3, 0.01 / 3])
    assert max(norms) <= 0.01
    assert optimizer.param_groups[0]["lr"] == 0.01


def test_patience_and_keep_best():
    scores = iter([0.5, 0.3, 0.4, 0.35, 0.1])
    kept = []

    def validate(model):
        kept.append(model.state_dict())
        return next(scores)

    model, *rest = make()
    history = fit(model, *rest, epochs=9, validate=validate, patience=2, keep_best=True)
    assert history.stopped == "patience" and history.epochs == 4 and history.best == 1
    assert history.metrics[1] == {"step": 16, "loss": 0.3}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, kept[1][name])


def test_a_callback_can_stop():
    history = fit(*make(), epochs=9, callbacks=[lambda model, history: len(history.loss) == 5])
    assert history.stopped == "callback" and len(history.loss) == 5


def test_a_plain_list_of_batches():
    model, _, optimizer, _ = make()
    assert len(fit(model, [(X, Y), (X, Y)], optimizer, loss_fn, epochs=3).loss) == 6
    assert not model.training  # ready to be used


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("stop", [1, 5, 8, 12, 16])
def test_resume_is_bit_identical(tmp_path, stop, prefetch):
    options = {"epochs": 3, "validate": accuracy, "higher_is_better": True, "keep_best": True, "clip": 1.0,
               "schedule": optim.schedule.cosine(3, 24)}
    whole = make(prefetch=prefetch)
    expected = fit(*whole, **options)
    path = tmp_path / "c.safetensors"
    first = fit(*make(prefetch=prefetch), **options, checkpoint=path,
                callbacks=[lambda model, history: len(history.loss) == stop])
    assert first.stopped == "callback"
    mm.manual_seed(99)
    np.random.default_rng(1).normal()
    rest = make(prefetch=prefetch)
    mm.manual_seed(98)  # all that the run draws must come from the checkpoint
    found = fit(*rest, **options, checkpoint=path, resume=True)
    assert_same_model(whole[0], rest[0])
    assert found.loss == expected.loss and found.lr == expected.lr and found.metrics == expected.metrics
    assert found.stopped == "epochs" and found.best == expected.best
    again = make(prefetch=prefetch)
    finished = fit(*again, **options, checkpoint=path, resume=True)
    assert finished.loss == expected.loss  # nothing is left to do
    assert_same_model(whole[0], again[0])


def test_a_checkpoint_every_few_steps(tmp_path):
    path, seen = tmp_path / "c.safetensors", []

    def look(model, history):
        if path.exists():
            seen.append((len(history.loss), len(checkpoints.load(path)["history"]["loss"])))

    fit(*make(), steps=10, checkpoint=path, checkpoint_every=3, callbacks=[look])
    assert seen == [(1, 0), (2, 0), (3, 0), (4, 3), (5, 3), (6, 3), (7, 6), (8, 6), (9, 8), (10, 9)]


def test_without_resume_an_old_checkpoint_is_not_read(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_text("something else")
    assert len(fit(*make(), steps=2, checkpoint=path).loss) == 2
    assert len(checkpoints.load(path)["history"]["loss"]) == 2


def test_a_place_that_cannot_be_written_to_is_found_before_training(tmp_path):
    def never(model, batch):
        raise AssertionError("training has begun")

    model, batches, optimizer, _ = make()
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fit(model, batches, optimizer, never, steps=3, checkpoint=tmp_path / "no" / "c")


def test_nothing_to_do():
    history = fit(*make(), epochs=0)
    assert history.stopped == "epochs" and history.loss == []


def test_nan_is_never_the_best():
    scores = iter([np.nan, 0.5, np.nan, 0.4])
    history = fit(*make(), epochs=4, validate=lambda model: next(scores))
    assert history.best == 3 and [m["loss"] for m in history.metrics[1::2]] == [0.5, 0.4]


def test_resume_with_another_model_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    fit(*make(), steps=2, checkpoint=path)
    _, batches, _, _ = make()
    model = nn.Linear(5, 2)
    with pytest.raises(ValueError, match="the state does not fit Linear"):
        fit(model, batches, optim.AdamW(model.parameters()), loss_fn, steps=4, checkpoint=path, resume=True)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    bad = X.copy()
    bad[37] = np.nan
    model, _, optimizer, _ = make()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step 4; try .*look for NaN in the data"):
        fit(model, Loader((bad, Y), 8), optimizer, loss_fn, epochs=2, checkpoint=path, checkpoint_every=2)
    assert len(checkpoints.load(path)["history"]["loss"]) == 4
    assert all(np.isfinite(p.data).all() for p in model.parameters())
    assert signal.getsignal(signal.SIGINT) is before  # the handler was put back


def test_ctrl_c_finishes_the_step_saves_and_returns(tmp_path):
    path = tmp_path / "c.safetensors"

    def press(model, history):
        if len(history.loss) == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    history = fit(*make(), epochs=9, checkpoint=path, callbacks=[press])
    assert history.stopped == "interrupted" and len(history.loss) in (5, 6)
    assert len(checkpoints.load(path)["history"]["loss"]) == len(history.loss)
    assert signal.getsignal(signal.SIGINT) is before
    whole, rest = make(), make()
    fit(*whole, epochs=3)
    fit(*rest, epochs=3, checkpoint=path, resume=True)
    assert_same_model(whole[0], rest[0])


def test_a_second_ctrl_c_does_not_wait():
    def press_twice(model, history):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.1)

    with pytest.raises(KeyboardInterrupt):
        fit(*make(), epochs=9, callbacks=[press_twice])
    assert signal.getsignal(signal.SIGINT) is not None


def test_it_trains_outside_of_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(fit(*make(), steps=2)))
    thread.start()
    thread.join()
    assert found[0].stopped == "steps"


@pytest.mark.parametrize(("options", "message"), [
    ({}, "no end is given; expected epochs=... or steps=..."),
    ({"epochs": 1, "checkpoint": "x"}, "a checkpoint needs a Loader"),
])
def test_wrong_calls_are_named(options, message):
    model, _, optimizer, _ = make()
    with pytest.raises(ValueError, match=message):
        fit(model, [(X, Y)], optimizer, loss_fn, **options)


def test_batches_that_can_be_used_only_once_are_refused():
    model, _, optimizer, _ = make()
    for batches in ((b for b in [(X, Y)]), []):
        with pytest.raises(ValueError, match="empty or can be used only once"):
            fit(model, batches, optimizer, loss_fn, steps=5)


def test_progress_is_silent_without_a_terminal_and_shown_on_one(capfd, monkeypatch):
    fit(*make(), epochs=1)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fit(*make(), epochs=1)
    shown = capfd.readouterr().err
    assert "8/8" in shown and "step/s" in shown and "loss" in shown
    fit(*make(), epochs=1, progress=False)
    assert capfd.readouterr() == ("", "")


def test_importing_tinymm_stays_light():
    code = ("import sys, tinymm\n"
            "heavy = {'numba', 'matplotlib', 'scipy.linalg', 'tqdm', 'safetensors', 'torch'} & set(sys.modules)\n"
            "print(sorted(heavy))")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "[]"


def test_fit_is_short_enough_to_be_read():
    import tinymm.train

    with open(tinymm.train.__file__, encoding="utf-8") as file:
        assert len(file.readlines()) <= 150
