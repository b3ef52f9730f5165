"""Before anything is imported: check all shape contracts, draw without a display."""

import os

os.environ["TINYMM_SHAPES"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def same_seed():
    """Each test draws from the library's generator as if it ran alone."""
    import tinymm

    tinymm.manual_seed(0)
