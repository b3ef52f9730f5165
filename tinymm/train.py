"""The one training loop: `fit`."""

import dataclasses
import math
import time
from pathlib import Path

import numpy as np

from tinymm.autograd import no_grad, random
from tinymm.io import checkpoints
from tinymm.io.interrupt import ctrl_c
from tinymm.optim import clip_grad_norm_


@dataclasses.dataclass
class History:
    """What happened: `loss` and `lr` (of the first group) have one entry a step, `metrics` one dict a validation."""

    loss: list = dataclasses.field(default_factory=list)
    lr: list = dataclasses.field(default_factory=list)
    metrics: list = dataclasses.field(default_factory=list)
    best: int | None = None  # the place in `metrics` of the best validation
    epochs: int = 0  # finished ones
    seconds: float = 0.0
    stopped: str = ""  # why: "epochs", "steps", "patience", "callback" or "interrupted"


def fit(model, batches, optimizer, loss_fn, *, epochs=None, steps=None, schedule=None, clip=None, validate=None,
        higher_is_better=False, patience=None, keep_best=False, checkpoint=None, checkpoint_every=None, resume=False,
        callbacks=(), progress=True):
    """Train `model` until `epochs` or `steps` are done, whichever comes first.

    Parameters
    ----------
    batches : `tinymm.data.loader.Loader`, or (without a checkpoint) what can be iterated over once an epoch
    loss_fn : callable
        ``loss_fn(model, batch)`` returns a Tensor of one element.
    schedule, clip : callable, float
        ``schedule(step)`` multiplies the learning rates; `clip` bounds the norm of all gradients together.
    validate : callable
        ``validate(model)`` returns a number, or a dict of numbers whose first decides what is best (a loss, or with
        `higher_is_better` a score). Called after each epoch and at the last step, without dropout, without a graph.
    patience, keep_best : int, bool
        Stop after so many validations in a row that were not the best; leave the best weights in the model.
    checkpoint, checkpoint_every, resume : path, int, bool
        A file written after each epoch, at the end, and every so many steps. With `resume` an existing one is gone on
        from, and the end is, bit for bit, that of a run that was never interrupted.
    callbacks, progress : iterable of callable, bool
        ``callback(model, history)`` after each step; True stops. The bar is shown if the output is a terminal.

    Returns
    -------
    History
        The model is in eval mode then. Ctrl-C (after the current step; a second one at once) saves and returns too.

    Raises
    ------
    FloatingPointError
        If the loss is not finite. The last checkpoint stays as it is.
    """
    from tqdm import tqdm

    if epochs is None and steps is None:
        raise ValueError("fit: no end is given; expected epochs=... or steps=...")
    if checkpoint is not None and not hasattr(batches, "state_dict"):
        raise ValueError("fit: a checkpoint needs a Loader, whose place in the data it can save")
    if iter(batches) is batches or not getattr(batches, "__len__", lambda: 1)():
        raise ValueError("fit: the batches are empty or can be used only once; expected a Loader or a list")
    history, best = History(), None
    steps, epochs, patience = (math.inf if end is None else end for end in (steps, epochs, patience))

    def save():
        if checkpoint is not None:
            checkpoints.save(checkpoint, {
                "model": model.state_dict(), "optimizer": optimizer.state_dict(), "loader": batches.state_dict(),
                "random": random.get_state(), "best": best,
                "history": {**vars(history), "loss": np.array(history.loss), "lr": np.array(history.lr)}})

    if resume and checkpoint is not None and Path(checkpoint).exists():
        state = checkpoints.load(checkpoint, parts=("model", "optimizer", "loader", "random", "history", "best"))
        for part, name in ((model, "model"), (optimizer, "optimizer"), (batches, "loader")):
            part.load_state_dict(state[name])
        random.set_state(state["random"])
        best, history = state["best"], History(**state["history"])
        history.loss, history.lr = history.loss.tolist(), history.lr.tolist()

    total = min(steps, epochs * len(batches)) if hasattr(batches, "__len__") else steps
    bar = tqdm(total=total if total < math.inf else None, initial=len(history.loss), unit="step",
               disable=None if progress else True)
    start = time.perf_counter() - history.seconds
    history.stopped = reason = _finished(history, epochs, steps, patience)
    save()  # a place that cannot be written to is found now, and not after an hour
    with ctrl_c() as pressed, bar:
        while not reason:
            model.train()
            for batch in batches:
                step = len(history.loss)
                scale = 1.0 if schedule is None else schedule(step)
                loss = loss_fn(model, batch)
                history.loss.append(loss.item())
                history.lr.append(scale * optimizer.param_groups[0]["lr"])
                if not math.isfinite(history.loss[-1]):
                    raise FloatingPointError(f"fit: the loss is {history.loss[-1]} at step {step}; try a smaller lr or "
                                             "clip=1.0, or look for NaN in the data (tinymm.detect_anomaly)")
                optimizer.zero_grad()
                loss.backward()
                if clip is not None:
                    clip_grad_norm_((p for group in optimizer.param_groups for p in group["params"]), clip)
                optimizer.step(scale)
                history.seconds = time.perf_counter() - start
                bar.update()
                bar.set_postfix_str(f"loss {history.loss[-1]:.4f}", refresh=False)
                stop = True in [callback(model, history) for callback in callbacks]
                reason = "callback" if stop else "interrupted" if pressed else ""
                if reason or step + 1 >= steps:
                    break
                if checkpoint_every and (step + 1) % checkpoint_every == 0:
                    save()
            else:
                history.epochs += 1
            if validate is not None and not reason and _validate(model, validate, history, higher_is_better):
                best = model.state_dict() if keep_best else None
            history.stopped = reason = reason or _finished(history, epochs, steps, patience)
            save()
    model.eval()
    if best is not None:
        model.load_state_dict(best)
    return history


def _finished(history, epochs, steps, patience):
    """Why training is over, or "". Looks at the history only, so that a resumed run decides alike."""
    waited = len(history.metrics) - 1 - history.best if history.metrics else 0
    over = {"steps": len(history.loss) >= steps, "epochs": history.epochs >= epochs, "patience": waited >= patience}
    return next((reason for reason in over if over[reason]), "")


def _validate(model, validate, history, higher_is_better):
    """Validate, write it down, and say whether it was the best."""
    model.eval()
    with no_grad():
        found = validate(model)
    found = {name: float(x) for name, x in (found if isinstance(found, dict) else {"loss": found}).items()}
    first, sign = next(iter(found)), -1 if higher_is_better else 1
    history.metrics.append({"step": len(history.loss), **found})
    record = math.nan if history.best is None else history.metrics[history.best][first]
    if math.isnan(record) or sign * found[first] < sign * record:
        history.best = len(history.metrics) - 1
    return history.best == len(history.metrics) - 1
