"""Figures: the same bytes each time, never without alt text, no texts on top of each other."""

import numpy as np
import pytest

import tinymm as mm
import tinymm.ops  # noqa: F401
from tinymm import viz

ALT = "A line that rises from 0 to 4, for a test."


def simple():
    fig, axes = viz.figure()
    viz.lines(axes, None, {"y": np.arange(5.0)}, xlabel="x", ylabel="y", title="a line")
    return fig


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    a = viz.save(simple(), tmp_path / "a", alt=ALT, source="abc")
    b = viz.save(simple(), tmp_path / "b.png", alt=ALT, source="abc")
    assert a.name == "a.png" and a.read_bytes() == b.read_bytes()
    assert b"Software" not in a.read_bytes() and b"matplotlib" not in a.read_bytes().lower()


def test_a_figure_carries_its_alt_text_beside_it(tmp_path):
    viz.save(simple(), tmp_path / "a", alt=ALT.replace("rises", "rises\n  "))
    assert (tmp_path / "a.alt.txt").read_text() == ALT + "\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.alt.txt", "a.png"]


@pytest.mark.parametrize("alt", [None, "", "   ", "a picture"])
def test_no_alt_text_no_figure(tmp_path, alt):
    with pytest.raises(ValueError, match="alt text"):
        viz.save(simple(), tmp_path / "a", alt=alt)
    assert not list(tmp_path.iterdir())


def test_a_large_file_loses_colours_first_and_is_refused_at_last(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).random((330, 330, 3))
    fig = viz.images([noise], size=3.0)
    path = viz.save(fig, tmp_path / "noise", alt=ALT, source="abc")
    assert path.stat().st_size <= viz.MAX_BYTES
    from PIL import Image

    with Image.open(path) as image:
        assert image.mode == "P" and image.info["Source"] == "abc"
    monkeypatch.setattr("tinymm.viz.canvas.MAX_BYTES", 5_000)
    with pytest.raises(ValueError, match="bytes"):
        viz.save(fig, tmp_path / "more", alt=ALT)
    assert not (tmp_path / "more.png").exists()


def test_overlapping_texts_are_found_and_refused(tmp_path):
    fig, axes = viz.figure()
    axes.text(0.5, 0.5, "one label")
    axes.text(0.52, 0.5, "another label")
    assert viz.overlaps(fig) == [("one label", "another label")]
    with pytest.raises(ValueError, match="'one label' and 'another label'"):
        viz.save(fig, tmp_path / "a", alt=ALT)
    viz.save(fig, tmp_path / "a", alt=ALT, overlap=True)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_ticks_outside_the_axes_are_no_overlap(scale):
    fig, axes = viz.figure(size=(5.2, 3.2))
    x, y = np.logspace(-12, -0.5, 20), np.logspace(-11.2, -1.6, 20)
    viz.lines(axes, x, {"y": y}, xlabel="x", ylabel="y", logx=scale == "log", logy=scale == "log")
    assert viz.overlaps(fig) == []


def test_axes_that_are_off_have_no_ticks():
    fig = viz.images(np.zeros((3, 4, 4)), ["a", "b", "c"])
    assert viz.overlaps(fig) == []


def test_a_signed_map_is_centred_on_zero_and_a_plain_one_starts_at_zero():
    fig, (a, b) = viz.figure(1, 2)
    signed = viz.heatmap(a, [[-1.0, 3.0]], signed=True)
    plain = viz.heatmap(b, [[0.2, 0.7]])
    assert signed.get_clim() == (-3.0, 3.0)
    assert plain.get_clim() == (0.0, 0.7)
    assert "jet" not in {signed.cmap.name, plain.cmap.name}


def test_a_grid_of_maps_has_one_scale_and_one_colour_bar():
    fig = viz.heatmaps([np.full((2, 2), 0.2), np.full((2, 2), 0.9)], ["a", "b"], label="weight", shape=(1, 2))
    images = [ax.images[0] for ax in fig.axes if ax.images]
    assert {image.get_clim() for image in images} == {(0.0, 0.9)}
    assert len(fig.axes) == 3


def test_masked_cells_are_hatched_and_carry_no_number():
    fig, axes = viz.figure()
    viz.heatmap(axes, np.ones((2, 2)), mask=[[True, False], [True, True]], numbers=True)
    assert [p.get_hatch() for p in axes.patches] == ["////"]
    assert len(axes.texts) == 3


def test_heat_map_labels_stand_at_their_rows_and_columns():
    fig, axes = viz.figure()
    viz.heatmap(axes, np.zeros((2, 3)), rows=["q0", "q1"], cols=["k0", "k1", "k2"], xlabel="key", ylabel="query")
    assert [t.get_text() for t in axes.get_yticklabels()] == ["q0", "q1"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["k0", "k1", "k2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("key", "query")


def test_pca_finds_the_long_axis_and_its_share():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)) * [0.1, 3.0, 0.1, 1.0, 0.1]
    points, share = viz.pca(x)
    assert points.shape == (200, 2)
    assert abs(np.corrcoef(points[:, 0], x[:, 1])[0, 1]) > 0.99
    assert share[0] == pytest.approx(0.9, abs=0.03) and share[1] == pytest.approx(0.1, abs=0.03)
    same, _ = viz.pca(x.copy())
    assert np.array_equal(points, same)


def test_labels_of_a_crowd_do_not_overlap_and_the_rest_is_named(tmp_path):
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(40, 2)), np.zeros((30, 2))])
    fig, axes = viz.figure(size=(4, 3))
    left = viz.scatter(axes, points, [f"word{i}" for i in range(70)])
    assert len(axes.texts) + len(left) == 70 and len(axes.texts) > 20 and left
    viz.save(fig, tmp_path / "crowd", alt=ALT)


def test_arrows_say_what_the_components_explain():
    fig, axes = viz.figure()
    left = viz.arrows(axes, [[0, 0], [1, 1], [0, 1], [1, 2]], [(0, 1), (2, 3)], ["a", "b", "c", "d"], share=(0.5, 0.25))
    assert left == [] and axes.get_xlabel() == "component 1 (50 % of the variance)"


def test_bars_of_seeds_show_mean_and_each_seed():
    fig, axes = viz.figure()
    viz.bars(axes, {"a": [1.0, 2.0, 3.0], "b": (5.0, 4.0, 6.0), "c": 4.0}, xlabel="score", reference=(0.5, "chance"))
    assert [p.get_width() for p in axes.patches] == [2.0, 5.0, 4.0]
    assert [t.get_text() for t in axes.texts] == ["2", "5", "4"]
    assert viz.overlaps(fig) == []


# ---- the graph -----------------------------------------------------------------------------------------------------


def drawn(fig):
    """The boxes of a drawn graph: head -> body."""
    texts = [t.get_text() for t in fig.axes[0].texts if t.get_text()]
    return dict(zip(texts[::2], texts[1::2]))


def test_the_graph_shows_values_and_gradients_and_leaves_all_as_it_was():
    a, b = mm.Tensor(2.0, requires_grad=True), mm.Tensor(3.0, requires_grad=True)
    a.grad = np.array(7.0)
    s = a + b
    y = s * b
    boxes = drawn(viz.draw_graph(y, {"a": a, "b": b, "s": s, "y": y}))
    assert boxes == {"a": "value 2\ngrad 3", "b": "value 3\ngrad 8", "s = add": "value 5\ngrad 3",
                     "y = multiply": "value 15\ngrad 1"}  # fmt: skip
    assert a.grad == 7.0 and b.grad is None
    assert not a.rare["hooks"] and not s.node.rare["hooks"]
    y.backward()  # the graph is still there
    assert a.grad == 10.0 and b.grad == 8.0


def test_the_graph_of_a_step_that_skips_two_others():
    x = mm.Tensor([1.0, 2.0], requires_grad=True)
    y = (x.exp().exp() + x).sum()
    boxes = drawn(viz.draw_graph(y, {"x": x}, title="skip"))
    assert set(boxes) == {"x", "exp", "add", "sum"}
    g = 1 + np.exp([1.0, 2.0]) * np.exp(np.exp([1.0, 2.0]))
    assert boxes["x"] == f"value [1, 2]\ngrad [{g[0]:.3g}, {g[1]:.3g}]"


def test_only_a_number_that_was_computed_has_a_graph_to_draw():
    x = mm.Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="one number"):
        viz.draw_graph(x * 2, {})
    with pytest.raises(ValueError, match="one number"):
        viz.draw_graph(mm.Tensor(1.0, requires_grad=True), {})
