# ---
# title: GloVe: counts, ratios, vectors
# kind: core
# minutes: 45
# compile: 15
# needs: 04
# mathematics: conditional probability, logarithm of a ratio, weighted least squares, AdaGrad
# python: a sparse matrix as (row, column, value)
# paper: Pennington, Socher, Manning 2014, GloVe: Global Vectors for Word Representation
# ---

# %% [markdown]
# # 05 GloVe: counts, ratios, vectors
#
# Word2Vec reads a text again and again. GloVe reads it once, writes down which words met how often, and then looks only
# at this table X. Its vectors are made so that their products are the logarithms of the counts.
#
# Afterwards you can
# * count co-occurrences, and say what a table of P(k|i) tells and what it hides;
# * derive the GloVe loss from ratios P(k|i) / P(k|j), and say what the loss itself looks at;
# * train it, judge it on counts that it has not seen, and compare it fairly with Word2Vec.
#
# **New mathematics.** The *logarithm of a ratio* is a difference: log(a / b) = log a - log b, 0 where both are equal.
# *Weighted least squares* counts some errors more than others. *AdaGrad* divides a step by the root of the sum of all
# squared gradients so far, so that a number that is often moved moves less and less.
# **New Python.** A *sparse matrix*: only the cells that are not zero, as three arrays.

# %%
import math
import time

import numpy as np

import tinymm as mm
from tinymm import learn, viz
from tinymm.data import text
from tinymm.metrics import words as measures
from tinymm.models.glove import Cooccurrence, GloVe, GloVeConfig, fit_readable, glove_loss
from tinymm.models.word2vec import Word2Vec

lesson = learn.begin("05_glove")

gradients, total = [4.0, 3.0, 0.0, 12.0, 12.0], 100.0  # AdaGrad, in four lines
for g in gradients:
    print(f"gradient {g:4}: step {g / math.sqrt(total):.2f}", end="; ")
    total += g * g
row, col, x = np.array([0, 0, 2]), np.array([1, 2, 0]), np.array([5.0, 1.0, 1.0])  # a sparse matrix ...
dense = np.zeros((3, 3))
dense[row, col] = x  # ... and what it stands for
print(dense.tolist())

# %% [markdown]
# ## The question: who stands near whom?
#
# A tiny world whose right answer is known. Its sentences have two words: *ice* or *steam*, and then a property, drawn
# from the table below. So P(k|i), the share that property k has among the neighbours of thing i, is that table.
#
# One row of it says little: *water* is frequent beside *ice*, but it is beside *steam* too. The **ratio**
# P(k|ice) / P(k|steam) tells them apart: large for what belongs to ice, small for what belongs to steam, and near one
# for what belongs to both (water) or to neither (fashion).

# %%
things, properties = ["ice", "steam"], ["solid", "gas", "water", "fashion"]
known = np.array([[0.45, 0.05, 0.45, 0.05], [0.05, 0.45, 0.45, 0.05]])
sentences = [[thing, properties[lesson.rng.choice(4, p=p)]] for thing, p in zip(things, known) for _ in range(4000)]
tiny = text.from_sentences(sentences, min_count=1)
id_of = tiny.vocabulary.ids
X_tiny = GloVe(window=1, dtype="float64").count(tiny)
counted = np.array([[X_tiny.probability(id_of[k], id_of[i]) for k in properties] for i in things])
lesson.claim("map", "the counted P(k|i) differs from the known one by at most", abs(counted - known).max(), below=0.03,
             settled="holds")
fig = viz.heatmaps([known, counted], ["drawn from", "counted in 8,000 sentences"], label="P(k|i)", size=(3.4, 1.9),
                   rows=things, cols=properties, ylabel="word i", xlabel="neighbour k", numbers=True)
lesson.figure(fig, "who_stands_near_whom", alt="Two tables of P(k|i), the known one and the counted one; no number "
              f"differs by more than {abs(counted - known).max():.2f}. Ice: solid 0.45, gas 0.05, water 0.45, fashion "
              "0.05. Steam: solid 0.05, gas 0.45, water 0.45, fashion 0.05.")

# %% [markdown]
# ## Equation, shapes, code
#
# **From ratios to a loss.** We look for vectors whose *differences* give the ratio (equation 4 of the paper):
# exp((w_i - w_j) . w~_k) = P(k|i) / P(k|j). A logarithm makes both sides differences, which holds if
# w_i . w~_k = log P(k|i) = log X_ik - log X_i for each pair alone. The term log X_i does not depend on k: call it a
# bias. What remains to be fitted is (equation 8)
#
#     J = sum over X_ij > 0 of  f(X_ij) (w_i . w~_j + b_i + b~_j - log X_ij)^2 / 2,     f(x) = min(1, (x / x_max)^alpha)
#
# | symbol | meaning | shape | in the library |
# |---|---|---|---|
# | X | how often j stands near i, each time counted as 1 / distance | (V, V), sparse | `count_cooccurrence` |
# | w, w~ | vectors of words, and of words as contexts | (V, D) each | `GloVe.w`, `GloVe.w_tilde` |
# | b, b~ | their biases | (V,) each | `GloVe.b`, `GloVe.b_tilde` |
# | f | the weighting | one a cell | `GloVeConfig.weight` |
# | J | the loss | one number | `glove_loss` |
#
# f does two things: cells seen once or twice are mostly chance and count little, and beyond x_max a cell does not
# count more, or "the" would decide everything.

# %%
corpus = text.documentation() if lesson.data is None else text.read(lesson.data, clean=text.plain_words)
V, names = len(corpus.vocabulary), corpus.vocabulary.words
config = GloVeConfig(d_model=50, epochs=lesson.pick(fast=5, full=15), seed=lesson.seed)
start = time.perf_counter()
X = GloVe(config).count(corpus, progress=True)
print(f"{corpus}: {len(X):,} of {V * V:,} cells are not zero, counted in {time.perf_counter() - start:.1f} s")

at = np.logspace(-1, 4, 200)
fig, axes = viz.figure(1, 2, (4.0, 2.8))
viz.lines(axes[0], at, {"x_max 10": config.weight(at), "x_max 100": GloVeConfig(x_max=100.0).weight(at)}, logx=True,
          xlabel="X", ylabel="f(X)", title="A cell's weight")
axes[1].hist(np.log10(X.x), bins=50, color=viz.COLOURS[0])
axes[1].set(xlabel="log10 X", ylabel="cells", title="Most cells are small")
axes[1].set_yscale("log")
small = float(np.mean(X.x < 1))
lesson.figure(fig, "weighting", alt=f"Left: f(X) rises as X to the 0.75 and is 1 from x_max on. Right: histogram of X "
              f"over {len(X):,} cells, logarithmic; {100 * small:.0f} % of them are below 1.")

# %% [markdown]
# ## By hand: one cell
#
# Let w = (0.1, 0.2), w~ = (0.3, -0.1), no biases, X = 20, x_max = 100, alpha = 0.75, learning rate 1. Then
# w . w~ = 0.01, log 20 = 2.996, so the difference is -2.986. The weight is 0.2^0.75 = 0.299, the loss
# 0.299 * 2.986^2 / 2 = 1.333. The gradient with respect to w is f * difference * w~ = -0.893 (0.3, -0.1). AdaGrad's sum
# begins at 100, so the first step divides by 10: w moves by 0.0893 (0.3, -0.1) = (0.0268, -0.0089).

# %%
model = GloVe(d_model=2, x_max=100.0, epochs=1, dtype="float64").start(2)
model.w[0], model.w_tilde[1], model.b[:], model.b_tilde[:] = (0.1, 0.2), (0.3, -0.1), 0.0, 0.0
model.fit(Cooccurrence(np.array([0]), np.array([1]), np.array([20.0]), 2))
print(f"loss {model.history[0]:.4f}, w is now {model.w[0].round(4)}")
moved = model.w[0] - [0.1, 0.2]
lesson.claim("by_hand", "kernel and hand differ by at most", abs(moved - [0.0268, -0.0089]).max(), below=5e-5,
             settled="holds")

# %% [markdown]
# ## Gradient check, and two forms of one thing
#
# `glove_loss` is equation 8 on the engine of lesson 01, and `fit_readable` is AdaGrad on its gradients. The fast kernel
# takes the same steps without a graph.

# %%
i, j, count = X_tiny.row, X_tiny.col, X_tiny.x
settings = GloVeConfig(d_model=3, epochs=3, dtype="float64", shuffle=False)
values = [lesson.rng.normal(size=shape) for shape in ((6, 3), (6, 3), 6, 6)]
report = mm.gradcheck(lambda w, c, b_w, b_c: glove_loss(w, c, b_w, b_c, i, j, count, settings), values)
print(f"gradient check: {report.n_entries} entries, largest error {report.max_error:.1e}")
fast, readable = GloVe(settings).fit(X_tiny), fit_readable(GloVe(settings), X_tiny)
gap = max(abs(fast.w - readable.w).max(), abs(fast.w_tilde - readable.w_tilde).max(), abs(fast.b - readable.b).max())
lesson.claim("two_forms", "kernel and readable form differ after 3 passes by up to", gap, below=1e-12, settled="holds")

# %% [markdown]
# ## "It looks at two words together and asks which third is likely"
#
# So the lecture notes say of GloVe. The ratio does speak of three words, i, j and k. But does the *loss*? Take
# sentences of three words, and cut each into its three pairs: who stood with whom stays, the threesome is gone.

# %%
lesson.predict("third", "cut three-word sentences into pairs, and GloVe learns other vectors")
triples = [[names[k] for k in lesson.rng.choice(30, 3, replace=False)] for _ in range(2000)]
pairs = [pair for a, b, c in triples for pair in ([a, b], [b, c], [a, c])]
both = [text.from_sentences(s, min_count=1, vocabulary=text.Vocabulary(names[:30], np.ones(30))) for s in
        (triples, pairs)]
flat = GloVeConfig(d_model=5, window=2, distance_weighting=False, epochs=5)
from_triples, from_pairs = (GloVe(flat).fit(part).vectors for part in both)
lesson.claim("third", "GloVe's vectors change when its sentences are cut into pairs, by",
             abs(from_triples - from_pairs).max(), above=1e-9, settled="fails")

# %% [markdown]
# **Right:** GloVe fits *pair* counts and never sees a third word. The ratio of three is its *motive*, and what comes
# out if the pairs are fitted well. Look at it in the tiny world: the ratio from the vectors alone.

# %%
small_model = GloVe(d_model=3, epochs=400, dtype="float64", seed=lesson.seed).fit(X_tiny)
ice, steam = id_of["ice"], id_of["steam"]
tiny_ratio = np.array([[X_tiny.ratio(id_of[k], ice, steam), small_model.ratio(id_of[k], ice, steam)]
                       for k in properties])
print("P(k|ice) / P(k|steam)   from counts   from vectors")
for k, (by_count, by_vector) in zip(properties, tiny_ratio):
    print(f"{k:>12} {by_count:22.2f} {by_vector:14.2f}")
lesson.claim("large", "ratio of 'solid' from the vectors (drawn: 9)", tiny_ratio[0, 1], above=3.0, settled="holds")
lesson.claim("small", "ratio of 'gas' from the vectors (drawn: 1/9)", tiny_ratio[1, 1], below=1 / 3, settled="holds")
lesson.claim("near_one", "farthest of 'water' and 'fashion' from one, as a factor",
             float(np.exp(abs(np.log(tiny_ratio[2:, 1])).max())), below=1.5, settled="holds")

# %% [markdown]
# ## Training on real text, with validation
#
# How would you know that GloVe has learned something about the language, and not only stored a table? Hide a tenth of
# the pairs (both X_ij and X_ji: they are equal) and predict them. Baselines: always the mean of log X;
# the best *biases* without any vectors, as if words differed only in how frequent they are; GloVe on *shuffled* counts.

# %%
def train(cells, seed=lesson.seed, **changes):
    return GloVe(config, **{"seed": seed, **changes}).fit(cells, progress=True)


def error(predicted, cells):
    """Mean square of predicted - log X, weighted by f."""
    f = config.weight(cells.x)
    return float((f * (predicted - np.log(cells.x)) ** 2).sum() / f.sum())


low, high = np.minimum(X.row, X.col).astype(np.int64), np.maximum(X.row, X.col)
hidden = np.random.default_rng(lesson.seed).random(V * (V + 1) // 2)[high * (high + 1) // 2 + low] < 0.1
seen, unseen = (Cooccurrence(X.row[part], X.col[part], X.x[part], V, X.vocabulary) for part in (~hidden, hidden))
shuffled = Cooccurrence(seen.row, seen.col, lesson.rng.permutation(seen.x), V, X.vocabulary)
f, log_x = config.weight(seen.x), np.log(seen.x)
bias, other = np.zeros(V), np.zeros(V)
for _ in range(10):  # weighted least squares for one side, then for the other, and again
    bias = np.bincount(seen.row, f * (log_x - other[seen.col]), V) / (np.bincount(seen.row, f, V) + 1e-9)
    other = np.bincount(seen.col, f * (log_x - bias[seen.row]), V) / (np.bincount(seen.col, f, V) + 1e-9)
validated = train(seen)
errors = {
    "always the mean": error((f * log_x).sum() / f.sum(), unseen),
    "biases alone": error(bias[unseen.row] + other[unseen.col], unseen),
    "GloVe, shuffled counts": error(train(shuffled).predicted_log_x(unseen.row, unseen.col), unseen),
    "GloVe": error(validated.predicted_log_x(unseen.row, unseen.col), unseen),
    "GloVe, pairs it has seen": error(validated.predicted_log_x(seen.row, seen.col), seen),
}
for name, value in errors.items():
    print(f"  {name:26} {value:.3f}")
lesson.claim("learns", "error on hidden pairs, in units of that of biases alone",
             errors["GloVe"] / errors["biases alone"], below=1.0, settled="holds")
lesson.claim("shuffled", "error on hidden pairs after shuffled counts, in units of that of the mean",
             errors["GloVe, shuffled counts"] / errors["always the mean"], above=0.95, settled="holds")

# %% [markdown]
# ## Figures: counts, and what the vectors make of them
#
# Left the logarithms of the counts between some words, right what the model has for them. Where two words never met,
# the left is empty and the right is a guess.

# %%
model = train(X)
wanted = ["integer", "float", "string", "characters", "array", "matrix", "rows", "columns", "file", "path", "directory",
          "red", "green", "blue"]
chosen = [w for w in wanted if w in corpus.vocabulary] or names[100:114]
ids = corpus.vocabulary.encode(chosen)
counts = np.array([[X[a, b] for b in ids] for a in ids])
predicted = model.predicted_log_x(ids[:, None], ids[None, :])
fig, axes = viz.figure(1, 2, (4.6, 4.0))
limits = {"vmin": -3.0, "vmax": max(5.0, float(np.log(counts.max())))}
for ax, matrix, mask, title in zip(axes, (np.log(np.maximum(counts, 1e-9)), predicted), (counts > 0, None),
                                   ("log X, counted (hatched: never met)", "w . w~ + b + b~, from the vectors")):
    image = viz.heatmap(ax, matrix, rows=chosen, cols=chosen, mask=mask, title=title, bar=False, ylabel="word",
                        xlabel="context", **limits)
fig.colorbar(image, ax=list(axes), label="log X", shrink=0.85)
lesson.figure(fig, "cooccurrence", alt="Two maps of log X between " + ", ".join(chosen) + ": counted, and from the "
              "vectors. Both are brightest within groups of related words.")

fig, axes = viz.figure(1, 2, (4.3, 3.4), sharex=True, sharey=True)
corr = {}
for ax, (name, cells) in zip(axes, {"pairs it has seen": seen, "hidden pairs": unseen}.items()):
    pick = np.flatnonzero(cells.x >= 1)
    actual = np.log(cells.x[pick])
    guess = validated.predicted_log_x(cells.row[pick], cells.col[pick])
    corr[name] = float(np.corrcoef(actual, guess)[0, 1])
    image = ax.hexbin(actual, guess, gridsize=50, bins="log", cmap="viridis", extent=(0, 8, -2, 8), mincnt=1)
    fig.colorbar(image, ax=ax, label="cells")
    ax.plot([0, 8], [0, 8], color="black", linewidth=1)
    ax.set(xlabel="log X, counted", ylabel="log X, predicted", title=f"{name}: correlation {corr[name]:.2f}")
lesson.figure(fig, "predicted_log_x", alt="Predicted against counted log X where X is at least 1, as density. Seen "
              f"pairs lie along the diagonal, correlation {corr['pairs it has seen']:.2f}; hidden pairs more widely, "
              f"{corr['hidden pairs']:.2f}.")
lesson.claim("hidden", "correlation of predicted and counted log X, hidden pairs with X of at least 1",
             corr["hidden pairs"], above=0.5)

# %% [markdown]
# **The ratio table.** Two words of this text, and the words that tell them apart: those with the largest ratio, with
# the smallest, and frequent ones with a ratio near one. log2 of the ratio: +1 is twice, -1 half as likely.

# %%
def probes(i, j, n=4, least=5.0):
    """Words that tell i from j: by the ratio of counts the n largest, the n smallest, and n near one."""
    met_i, met_j = (np.zeros(V) for _ in range(2))
    for word, met in ((i, met_i), (j, met_j)):
        part = slice(*np.searchsorted(X.row, [word, word + 1]))
        met[X.col[part]] = X.x[part]
    often = np.flatnonzero((np.maximum(met_i, met_j) >= least) & (np.minimum(met_i, met_j) > 0))
    ratio = np.log2(met_i[often] / met_i.sum()) - np.log2(met_j[often] / met_j.sum())
    order = often[np.argsort(-ratio)]
    near = often[abs(ratio) < 0.3]
    return order[:n], near[np.argsort(-(met_i + met_j)[near])][:n], order[::-1][:n][::-1], often


first, second = [w for w in ("string", "matrix", *names[60:]) if w in corpus.vocabulary][:2]
i, j = (corpus.vocabulary[w] for w in (first, second))
large, near, small, often = probes(i, j)
table = np.array([[X.ratio(k, i, j), model.ratio(k, i, j)] for k in (*large, *near, *small)])
labels = [names[k] for k in (*large, *near, *small)]
outer = [*range(4), *range(8, 12)]
fig, ax = viz.figure(size=(4.6, 4.0))
viz.heatmap(ax, np.log2(table), rows=labels, cols=["from counts", "from vectors"], signed=True, numbers=True,
            ylabel="third word k", title=f"P(k|{first}) / P(k|{second})", label="log2 of the ratio", digits=1)
kept = int(((table[outer] > 1).all(1) | (table[outer] < 1).all(1)).sum())
lesson.figure(fig, "ratios", alt=f"Table of log2 of P(k|{first}) / P(k|{second}) from counts and from vectors. Large: "
              f"{', '.join(labels[:4])}. Near one: {', '.join(labels[4:-4])}. Small: {', '.join(labels[-4:])}. Of the "
              f"8 large and small ones {kept} have the same sign from the vectors.")


def agreement(model):
    """Correlation of log ratios from counts and from vectors over all words that tell the two apart."""
    return np.corrcoef([[math.log(source.ratio(k, i, j)) for k in often] for source in (X, model)])[0, 1]


models = [model, *(train(X, seed=seed) for seed in lesson.pick(fast=lesson.seeds[1:2], full=lesson.seeds[1:]))]
lesson.claim("ratios", f"log ratios from counts and from vectors, over {len(often)} words, correlate with",
             [agreement(m) for m in models], above=0.6)

# %% [markdown]
# **Relations as arrows.** If a relation is a *direction*, the arrows from each noun to its plural are parallel. The
# pairs are found by spelling: a word, and the same word with an s. Control: the same nouns, the plurals exchanged.

# %%
def plurals(n, least=60):
    """(V id, V id) of the n most frequent words of four letters and more of which the form with an s occurs too."""
    ids = corpus.vocabulary.ids
    found = [(a, ids[w + "s"]) for a, w in enumerate(names) if len(w) > 3 and not w.endswith("s") and w + "s" in ids]
    return np.array([(a, b) for a, b in found if corpus.vocabulary.counts[[a, b]].min() >= least][:n])


def parallel(vectors, pairs):
    """Mean cosine between the arrows of different pairs."""
    arrows = vectors[pairs[:, 1]] - vectors[pairs[:, 0]]
    arrows = arrows / np.linalg.norm(arrows, axis=1, keepdims=True)
    return float((arrows @ arrows.T)[np.triu_indices(len(arrows), 1)].mean())


relation = plurals(120)
exchanged = np.column_stack([relation[:, 0], np.roll(relation[:, 1], 1)])
units = [m.vectors / np.linalg.norm(m.vectors, axis=1, keepdims=True) for m in models]
lesson.claim("arrows", f"the arrows of {len(relation)} nouns to their plurals are more parallel than with plurals "
             "exchanged: mean cosine, difference", [parallel(u, relation) - parallel(u, exchanged) for u in units],
             above=0.0)
shown = relation[:9]
points, share = viz.pca(units[0][shown.T.ravel()])
fig, ax = viz.figure(size=(5.6, 4.4))
viz.arrows(ax, points, [(k, k + len(shown)) for k in range(len(shown))], [names[k] for k in shown.T.ravel()],
           share=share, title="From a word to its plural")
lesson.figure(fig, "arrows", alt="Plane of the first two principal components: arrows from "
              + ", ".join(names[k] for k in shown[:, 0]) + f" to their plurals. The two components show "
              f"{100 * share.sum():.0f} % of the variance, so that arrows that look parallel may not be.")

# %% [markdown]
# **A failure.** Opposites stand in the same places, so they get vectors nearly alike: to GloVe "true" and "false" are
# neighbours. What a word *means* is not the same as where it stands.

# %%
opposites = [("true", "false"), ("first", "last"), ("left", "right"), ("lower", "upper"), ("minimum", "maximum"),
             ("input", "output"), ("read", "write"), ("start", "end"), ("row", "column"), ("before", "after"),
             ("positive", "negative"), ("large", "small"), ("above", "below"), ("even", "odd"), ("open", "close")]
opposites = [(a, b) for a, b in opposites if a in corpus.vocabulary and b in corpus.vocabulary]
near_ten = [b in dict(model.most_similar(a, 10)) for a, b in opposites]
for a in ("true", "first", "integer"):
    if a in corpus.vocabulary:
        print(f"  nearest to {a}: {', '.join(w for w, _ in model.most_similar(a, 6))}")
lesson.claim("opposites", "share of words with their opposite among the ten nearest",
             learn.proportion(sum(near_ten), len(near_ten)), above=0.5)

# %% [markdown]
# ## "That lets us understand relations between words, where Word2Vec sees one word"
#
# A statement about two methods needs a fair match: the same text, the same 50 dimensions, the same seconds on the same
# machine (GloVe's counting included). Two measures that need no file: *analogies* (noun is to plural as noun is to ...)
# and *similarity* (of two words of one group and one of another, are the two closer?).

# %%
groups = [g.split() for g in ("red green blue black white yellow", "integer float double int complex bool",
    "file directory folder path filename", "row column rows columns", "sine cosine tangent exp log sqrt",
    "minimum maximum mean median average variance", "left right top bottom upper lower", "monday sunday month year day",
    "string text characters letters unicode", "gamma beta poisson normal binomial exponential",
    "thread process lock queue", "error exception warning failure", "client server socket connection host")]
groups = [corpus.vocabulary.encode(g) for g in groups]
groups = [g for g in groups if len(g) >= 3]
draws = np.random.default_rng(0)
odd = []
for _ in range(3000):
    own, other = draws.choice(len(groups), 2, replace=False)
    odd.append([*draws.choice(groups[own], 2, replace=False), draws.choice(groups[other])])
odd = np.array(odd)
questions = [tuple(names[k] for k in (*relation[a], *relation[b])) for a, b in
             (draws.choice(len(relation), 2, replace=False) for _ in range(1500))]


def score(vectors):
    """Share of analogies answered, and of triples in which the pair of one group is closer."""
    u = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near, far = (u[odd[:, 0]] * u[odd[:, 1]]).sum(1), (u[odd[:, 0]] * u[odd[:, 2]]).sum(1)
    return measures.analogies(vectors, names, questions, restrict_vocab=None).total.accuracy, float((near > far).mean())


def fair_match(seed):
    """Word2Vec, then GloVe for as many seconds."""
    start = time.perf_counter()
    theirs = Word2Vec(d_model=50, epochs=lesson.pick(fast=1, full=5), seed=seed + 1).fit(corpus, progress=True)
    seconds, start = time.perf_counter() - start, time.perf_counter()
    ours = GloVe(config, seed=seed, epochs=10_000).fit(
        corpus, progress=True, callback=lambda _: time.perf_counter() - start >= seconds
    )
    passes = len(ours.history)
    print(f"  seed {seed}: {seconds:.1f} s each; GloVe made {passes} passes over its counts, {1500} questions")
    return score(theirs.vectors), score(ours.vectors)


seeds = lesson.pick(fast=lesson.seeds[:1], full=lesson.seeds)
Word2Vec(d_model=50, epochs=1).fit(corpus.select(slice(0, 200)))  # so that nobody's time includes compiling
lesson.predict("analogies", "in the same time GloVe answers more analogies than Word2Vec")
lesson.predict("similarity", "in the same time GloVe tells more groups apart than Word2Vec")
matches = np.array([fair_match(seed) for seed in seeds])  # (seeds, Word2Vec or GloVe, measure)
for measure, k in (("analogies", 0), ("similarity", 1)):
    lesson.claim(measure, f"{measure}, GloVe minus Word2Vec in the same time",
                 list(matches[:, 1, k] - matches[:, 0, k]), above=0.0, tested=not lesson.fast)
fig, axes = viz.figure(1, 2, (4.2, 1.9))
for ax, title, k in zip(axes, ("analogies: noun to plural", "similarity: own group closer"), (0, 1)):
    viz.bars(ax, {name: list(matches[:, m, k]) for m, name in enumerate(("Word2Vec", "GloVe"))}, xlabel="share right",
             title=title)
means = matches.mean(0)
lesson.figure(fig, "same_time", alt="Word2Vec and GloVe on the same text, size and time, mean of the seeds. Analogies: "
              f"{means[0, 0]:.2f} and {means[1, 0]:.2f}. Similarity: {means[0, 1]:.2f} and {means[1, 1]:.2f}.")

# %% [markdown]
# **Right:** neither sees one word only, and neither sees three. Word2Vec predicts one word from another, a pair at a
# time; GloVe fits the counts of the same pairs. They differ in how they weigh pairs and in what they leave out
# (Word2Vec learns from pairs that do *not* occur, GloVe skips empty cells). Who wins depends on text and seconds.

# %% [markdown]
# ## Break it
#
# Predict first: what happens to the analogies if every cell counts alike (f = 1), if neighbours count alike at every
# distance, or if you use w alone instead of w + w~?

# %%
lesson.predict("without_f", "without the weighting f fewer analogies are answered")
lesson.predict("flat", "without 1/distance fewer analogies are answered")
lesson.predict("w_alone", "with w alone fewer analogies are answered than with w + w~")
X_flat = GloVe(config, distance_weighting=False).count(corpus)
broken = {
    "as it is": [score(m.vectors)[0] for m in models[:len(seeds)]],
    "f = 1": [score(train(X, seed=seed, alpha=0.0).vectors)[0] for seed in seeds],
    "all distances alike": [score(train(X_flat, seed=seed).vectors)[0] for seed in seeds],
    "w alone": [score(m.w)[0] for m in models[:len(seeds)]],
}
for name, key in (("without_f", "f = 1"), ("flat", "all distances alike"), ("w_alone", "w alone")):
    lost = [a - b for a, b in zip(broken["as it is"], broken[key])]
    lesson.claim(name, f"'{key}' loses analogies: share lost", lost, above=0.0, tested=not lesson.fast)
fig, ax = viz.figure(size=(5.4, 2.4))
viz.bars(ax, broken, xlabel="share of analogies answered", title="What each part is worth")
lesson.figure(fig, "broken", alt="Share of analogies answered: "
              + ", ".join(f"{k} {np.mean(v):.2f}" for k, v in broken.items()) + ".")

# %% [markdown]
# The paper finds w + w~ a little better than w. If your numbers say otherwise, one reason may be that the sum also
# brings together words that stand *beside* each other, and a noun seldom stands beside its plural.
#
# ## Exercises
#
# 1. Implement `cooccurrence(ids, starts, window)`: symmetric, 1 / distance, never across the end of a sentence.
# 2. Predict, then run: alpha = 0.5 and 1; x_max = 1 and 1,000. Which moves the analogies more?
# 3. Show that adding a number to all b and taking it from all b~ changes nothing. What else leaves the loss as it is?
# 4. Diagnose: a colleague's X has a first cell twice as large as it should be. Which property of X shows it?

# %% [markdown]
# ## Recap
#
# * GloVe fits log X_ij by products of vectors, pair by pair; ratios of three words are its motive, not its input.
# * f keeps rare cells from adding noise and frequent ones from ruling; empty cells are skipped.
# * A fair comparison fixes text, size and time, and states an interval.
#
# *Glossary*: co-occurrence, conditional probability P(k|i), weighting f, bias, AdaGrad, sparse matrix.
#
# *Where paper and code disagree* (`GloVeConfig.reference()` has the program's choices): the program's AdaGrad gathers
# (rate times gradient)^2, which is AdaGrad with rate 1 whose sums begin at 400; since 2019 its biases move without the
# rate, and it limits each component of a gradient to 100; where all fits into memory it doubles the first cell of X.

# %%
lesson.end()
