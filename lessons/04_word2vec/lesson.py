# ---
# title: Words as vectors
# kind: core
# minutes: 45
# compile: 10
# needs: 01 03
# mathematics: dot product, cosine, sampling from a distribution
# python: indexing with an array of row numbers, np.bincount
# paper: Mikolov, Sutskever, Chen, Corrado, Dean 2013, Distributed representations of words and phrases
# ---

# %% [markdown]
# # 04 Words as vectors: Word2Vec
#
# A word is a name; a network needs numbers. Number 17 for "cat" and 18 for "cathedral" would say that they are alike.
# Word2Vec gives each word a *vector* instead, and learns it from plain text, with no labels: words that keep the same
# company get vectors that point the same way.
#
# This lesson trains on English that is on your disk: the documentation of Python and of the packages beside it; with
# `--data PATH`, on your own text. Afterwards you can
# * turn a text into pairs of words, and say what skip-gram predicts from what;
# * derive the loss of negative sampling and its gradients, and train with it;
# * read a list of neighbours, and say which part of an analogy the vectors solve and which part the rules of the game.
#
# **New mathematics.** The *cosine* of two vectors is their dot product at length 1: 1 for the same direction, 0 for
# none in common. *Sampling from a distribution* q: draw words so that in the long run w makes up the share q(w).
#
# **New Python.** `table[[4, 2, 4]]` takes rows 4, 2 and 4 of an array. `np.bincount` counts how often numbers occur.

# %%
import numpy as np
from tqdm import tqdm

import tinymm as mm
from tinymm import learn, viz
from tinymm.data import text
from tinymm.learn import datasets
from tinymm.metrics import words as metrics
from tinymm.models.word2vec import Word2Vec, negative_sampling_loss

lesson = learn.begin("04_word2vec")
rng, backend = lesson.rng, mm.kernels.backend()
mm.kernels.use("numpy")  # tiny arrays first: nothing to compile
print("rows 2, 0, 2:", np.eye(3)[[2, 0, 2]].tolist(), "; 0, 1, 2 occur in 2, 0, 2:", np.bincount([2, 0, 2]), "times")
print(f"cosine of (1, 1) and (3, 0): {np.dot([1, 1], [3, 0]) / (np.sqrt(2) * 3):.3f}")
print("shares of 10,000 draws from (0.7, 0.2, 0.1):", np.bincount(rng.choice(3, 10_000, p=[0.7, 0.2, 0.1])) / 10_000)

# %% [markdown]
# ## The question: which words stand near this one?
#
# A text in which the answer is known recites the days of the week, over and over. Beside Tuesday stands Monday or
# Wednesday, each half of the time: the map of p(context | centre) must show two stripes, and nothing else.
# Two tables of vectors are learnt. The vector h of the centre, from the table of *inputs*, is compared with the vector
# u of every word, from the table of *outputs*: p(o | c) = softmax over o of u_o . h_c.

# %%
days = "mon tue wed thu fri sat sun".split()
known = (np.roll(np.eye(7), 1, axis=1) + np.roll(np.eye(7), -1, axis=1)) / 2
centres, contexts = np.nonzero(known)
inputs, outputs = (mm.Tensor(rng.normal(size=(7, 4)) / 10, requires_grad=True) for _ in range(2))
optimizer = mm.optim.Adam([inputs, outputs], lr=0.05)
maps = []
for step in range(601):
    scores = inputs[centres] @ outputs.T  # (14 pairs, 4) times (4, 7 words)
    if step in (0, 600):
        maps.append((inputs @ outputs.T).softmax(axis=-1).numpy())
    optimizer.zero_grad()
    mm.cross_entropy(scores, contexts).backward()
    optimizer.step()
fig = viz.heatmaps([known, *maps], ["in the text", "untrained", "learnt, 4 numbers a word"], rows=days, cols=days,
                   ylabel="centre", xlabel="context", label="p(context | centre)", size=(3.0, 2.8))
lesson.figure(fig, "week", alt="Three maps of p(context given centre) for the days of the week. In the text: one half "
              "on the day before and the day after. Untrained: one seventh everywhere. Learnt: the two stripes again.")
lesson.claim("week", "largest distance of the learnt map from the known one", abs(maps[1] - known).max(), below=0.05,
             settled="holds")

# %% [markdown]
# ## Equation, shapes, code
#
# | name | equation | shapes | in the library |
# |---|---|---|---|
# | lookup | h = x E, x one-hot | (V) (V, D) -> (D) | `table[ids]`, `mm.nn.Embedding` |
# | pairs | (c, o): o at most r words from c, r drawn from 1 .. window (W3) | (2, n) | `Corpus.pairs` |
# | keeping | keep a word of frequency f with p = sqrt(t/f) + t/f (W2) | (V) | `Word2Vec(sample=t)` |
# | noise | q(w) = count(w)^0.75 / sum (W4) | (V) | `Word2Vec(noise_power=0.75)` |
# | loss | L = -log s(u_o . h) - sum over k of log s(-u_k . h) | (D) (D) (K, D) | `negative_sampling_loss` |
#
# s is the sigmoid, 1 / (1 + exp(-x)). The softmax over all V words costs V dot products a pair. **Negative sampling**
# asks an easier question: which of these K + 1 words is the real neighbour, and which were drawn from the noise q?
#
# **"A word becomes a dense vector."** On paper: a row of zeros with a one in it, times a matrix. In code: a look-up.

# %%
E, ids = rng.normal(size=(5000, 100)).astype(np.float32), rng.integers(0, 5000, 64)
one_hot = np.zeros((64, 5000), np.float32)
one_hot[np.arange(64), ids] = 1
lesson.claim("lookup", "one-hot times table differs from taking rows by at most", abs(one_hot @ E - E[ids]).max(),
             within=(0, 0), settled="holds")

# %% [markdown]
# **The text, and its pairs.** *Skip-gram learns from the n words around.* Every word is a centre once; its partners are
# the words within r places. Here are all pairs of the first words of a sentence, r = 2.

# %%
corpus = text.documentation() if lesson.data is None else text.read(lesson.data, clean=text.plain_words)
vocabulary = corpus.vocabulary
if corpus.n_sentences < 50 or len(vocabulary) < 500:
    raise ValueError(f"{corpus}: too small; expected 50 sentences, a line each, and 500 words that come 5 times")
print(corpus)
line = corpus.select([int(np.argmax(np.diff(corpus.starts) >= 6))])
line = text.from_sentences([s[:6] for s in line.sentences()], vocabulary=vocabulary)
found = sorted(line.pairs(2).T.tolist(), key=lambda pair: line.ids.tolist().index(pair[0]))
print(*vocabulary.decode(line.ids), f"| {len(found)} pairs:", *("-".join(vocabulary.decode(pair)) for pair in found))

# %% [markdown]
# ## By hand
#
# One pair, one noise word, two numbers a word: h = (1, 0), the neighbour's u_o = (1, 2), the noise's u_k = (-1, 1).
# The scores are u_o . h = 1 and u_k . h = -1. s(1) = 0.731, so L = -log 0.731 - log 0.731 = 2 x 0.313 = 0.627.
# The gradient of -log s(x) is s(x) - 1: -0.269 for the neighbour; that of -log s(-x) is s(x): +0.269 for the noise
# word. So dL/dh = -0.269 u_o + 0.269 u_k = (-0.538, -0.269), dL/du_o = -0.269 h, dL/du_k = +0.269 h. Walking against
# the gradient, h moves towards its neighbour and away from the noise.

# %%
h, u = mm.Tensor([[1.0, 0.0]], requires_grad=True), mm.Tensor([[1.0, 2.0], [-1.0, 1.0]], requires_grad=True)
loss = negative_sampling_loss(h, u, np.array([0]), np.array([[1]]))
loss.backward()
print(f"L = {loss.item():.3f}, dL/dh = {h.grad[0].round(3)}, dL/du = {u.grad.round(3).tolist()}")
lesson.claim("by_hand", "the engine's gradient differs from the one by hand by at most",
             abs(h.grad[0] - (1 - 1 / (1 + np.exp(-1))) * np.array([-2, -1])).max(), below=1e-12, settled="holds")

# %% [markdown]
# ## Gradient check
#
# Three examples, seven words of which some are drawn twice: their gradients must add up.

# %%
leaves = [mm.Tensor(rng.normal(size=shape), requires_grad=True) for shape in ((3, 5), (7, 5))]
centre, drawn = np.array([0, 3, 3]), np.array([[1, 2, 1], [3, 5, 6], [4, 4, 4]])
report = mm.gradcheck(lambda h, u: negative_sampling_loss(h, u, centre, drawn), leaves)
lesson.claim("gradient", "largest error of dL/dh and dL/du against central differences", report.max_error, below=1e-6,
             settled="holds")

# %% [markdown]
# ## Training
#
# A twentieth of the sentences is held out. Yardsticks that say what a number is worth:
# *nothing learnt* (all scores 0, so L = (K + 1) log 2); the *unigram prior* (the best that can be done from how common
# each word is, without its context); a *shuffled corpus* (the same words in random order: all counts are right, no
# neighbour is); and, for analogies, *random vectors*.

# %%
K, window, sample, seeds = 5, 5, 1e-3, lesson.pick(fast=lesson.seeds[:1], full=lesson.seeds)
epochs = int(np.clip(round(lesson.pick(fast=3e6, full=8e6) / corpus.n_words), lesson.pick(fast=1, full=3), 40))
on_documentation = "holds" if lesson.data is None else None  # what is settled there is open for other texts
frequency = vocabulary.counts / vocabulary.counts.sum()
keep = np.minimum(1, np.sqrt(sample / frequency) + sample / frequency)
held_out = rng.random(corpus.n_sentences) < 0.05
train_set, held_set = corpus.select(~held_out), corpus.select(held_out)
some = train_set.select(slice(0, int(np.searchsorted(train_set.starts, 2_000_000))))  # enough for counting


def train(part, seed, what, **options):
    """A trained model, and its losses on the way as (words, loss)."""
    curve = []
    with tqdm(total=epochs * part.n_words, desc=f"{what}, seed {seed}", unit=" words", unit_scale=True, disable=None,
              leave=False) as bar:
        def watch(progress):
            bar.update(progress.words - bar.n)
            curve.append((progress.words, progress.loss))
        options = {"seed": seed, "epochs": epochs, "window": window, "negative": K, "sample": sample, **options}
        model = Word2Vec(**options).fit(part, progress=watch)
    return model, np.array(curve).T


def held_out_loss(inputs, outputs):
    """L of pairs that training has not seen. The context word is the input, the centre the target (W1)."""
    h = inputs[held_pairs[1]]
    scores, against = (h * outputs[held_pairs[0]]).sum(axis=1), np.einsum("pd,pkd->pk", h, outputs[held_noise])
    return float(np.logaddexp(0, -scores).mean() + K * np.logaddexp(0, against).mean())


mm.kernels.use(backend)
Word2Vec(epochs=1).fit(line)  # compiles the kernels
trained = [train(train_set, seed, "skip-gram") for seed in seeds]
control = [train(train_set.shuffle(seed), seed, "shuffled corpus") for seed in seeds]
model = trained[0][0]

noise = vocabulary.counts**0.75 / (vocabulary.counts**0.75).sum()
held_pairs = held_set.pairs(window, keep=keep, rng=rng)
held_pairs = held_pairs[:, rng.permutation(held_pairs.shape[1])[:20_000]]
held_noise = rng.choice(len(vocabulary), (held_pairs.shape[1], 20), p=noise)
target, context = some.pairs(window, keep=keep, rng=rng)
common = (np.bincount(target, minlength=len(vocabulary)) + 0.5) / (target.size + len(vocabulary) / 2)
prior = held_out_loss(np.ones((len(vocabulary), 1)), np.log(common / (K * noise))[:, None])  # the best scores without h
held = {name: [held_out_loss(m.vectors, m.output_vectors) for m, _ in found]
        for name, found in (("text", trained), ("shuffled", control))}
print(f"{epochs} passes; held-out loss: nothing learnt {(K + 1) * np.log(2):.3f}, unigram prior {prior:.3f}, learnt "
      f"from the text {np.mean(held['text']):.3f}, from shuffled text {np.mean(held['shuffled']):.3f}")


def by_seed(values):
    """For a claim: one number a seed, or the one number of --fast."""
    return list(values) if len(values) > 1 else float(values[0])


lesson.claim("beats_prior", "held-out loss below that of the unigram prior by",
             by_seed([prior - v for v in held["text"]]), above=0.1, settled=on_documentation)
lesson.claim("shuffled_learns_nothing", "held-out loss of the shuffled corpus below that of the prior by",
             by_seed([prior - v for v in held["shuffled"]]), below=0.05, settled=on_documentation)

# %% [markdown]
# **Neighbours**: the words whose vectors point the same way. Those of the shuffled corpus look like something, too.

# %%
favourites = "minimum integer file matrix left raise image probability king france water music".split()
shown = [w for w in favourites if w in vocabulary and vocabulary.counts[vocabulary[w]] >= 100]
shown = (shown + [w for w in vocabulary.words[100:2000:150] if w not in shown])[:8]
for word in shown:
    for what, (m, _) in ((word, trained[0]), ("(shuffled)", control[0])):
        print(f"  {what:12}", " ".join(w for w, _ in metrics.most_similar(m.vectors, vocabulary, word, 6)))

# %% [markdown]
# ## Figures: loss, map, arrows, and one failure
#
# The bumps are the text's: some pages are harder than others, and they are read in order.

# %%
fig, axes = viz.figure(1, 2, (4.4, 3.1), sharey=True)
for ax, results, name in ((axes[0], trained, "text"), (axes[1], control, "shuffled")):
    seen = np.linspace(0.02, 1, 60) * epochs * train_set.n_words
    viz.lines(ax, seen / 1e6, {"while training": [np.interp(seen, *curve) for _, curve in results]},
              xlabel="million words seen", ylabel="loss of a pair", title=name)
    ax.axhline(prior, color=viz.COLOURS[1], linestyle="--", label="unigram prior")
    ax.plot(seen[-1] / 1e6, np.mean(held[name]), "o", color=viz.COLOURS[2], label="held out, at the end")
axes[0].legend()
lesson.figure(fig, "loss", alt="Loss of a pair against words seen. On the text it falls below the unigram prior at "
              f"{prior:.2f}; the held-out loss ends at {np.mean(held['text']):.2f}. On shuffled text it ends at the "
              f"prior, held out at {np.mean(held['shuffled']):.2f}.")

# %% [markdown]
# **The map.** At the optimum u_o . h = log(p(o | c) / (K q(o))) (Levy and Goldberg 2014), so the model says p(o | c)
# proportional to q(o) exp(u_o . h). Beside it, the same counted. Counting knows nothing of pairs that it has not met.

# %%
rows = vocabulary.encode(shown)
counted = np.stack([np.bincount(context[target == r], minlength=len(vocabulary)) for r in rows]).astype(float)
telling = np.where(counted >= 20, counted / (counted.sum(axis=1, keepdims=True) * common), 0)  # times its usual share
columns = list(dict.fromkeys([*telling.argmax(axis=1).tolist(), 0, 1, 2]))
counted /= counted.sum(axis=1, keepdims=True)
learnt = noise * np.exp(model.vectors[rows] @ model.output_vectors.T)
learnt /= learnt.sum(axis=1, keepdims=True)
assert np.allclose(learnt.sum(axis=1), 1, atol=1e-4)
fig = viz.heatmaps([np.log10(np.maximum(p[:, columns], 1e-5)) for p in (counted, learnt)], ["counted", "learnt"],
                   rows=shown, cols=vocabulary.decode(columns), ylabel="centre", xlabel="context", vmin=-5, vmax=-1,
                   label="log10 p(context | centre)", size=(4.2, 3.6))
lesson.figure(fig, "context_map", alt="Two maps of log10 p(context given centre) for eight words, counted and learnt. "
              "Both are bright where a word meets its typical context, and for common words; the learnt is smoother.")
usual = np.argsort(-common)[:500]
agree = [metrics.spearman((p / common)[usual], (q / common)[usual]) for p, q in zip(counted, learnt)]
lesson.claim("map", "rank correlation of learnt and counted p(o | c) / p(o), 500 common words, mean over centres",
             float(np.mean(agree)), above=0.3, settled=on_documentation)

# %% [markdown]
# **"Dense vectors generalise: man is to woman as king is to queen."** The test: which vector lies nearest to b - a + c?
# Everyone bars a, b and c from being the answer, and few say so. Predict what happens without; then look at the
# controls: no relation (the nearest neighbour of c alone), and a false one (a and b drawn at random).

# %%
unit = model.vectors / np.linalg.norm(model.vectors, axis=1, keepdims=True)
relations = text.relations(vocabulary)
questions = metrics.questions_from(relations)
folder = datasets.find().get("word_eval")
if lesson.data is not None and folder is not None:
    questions = metrics.read_analogies(folder / "google_analogies" / "questions-words.txt")
    for name in ("WS-353-ALL", "SIMLEX-999", "MEN-TR-3k", "RG-65"):
        people = metrics.read_pairs(folder / "data" / "word-sim" / f"EN-{name}.txt")
        print(f"  similarity as people see it, {name}: {metrics.similarity(model.vectors, vocabulary, people)}")


def ask(models, asked=questions, **options):
    return [metrics.analogies(m.vectors, vocabulary, asked, **options) for m, _ in models]


lesson.predict("barred", "with nothing barred, at least half as many answers are right as with a, b, c barred")
answers = {"a, b, c barred": ask(trained), "nothing barred": ask(trained, exclude=False),
           "no relation: near c": ask(trained, metrics.without_relation(questions)),
           "false relation": ask(trained, metrics.false_relation(questions, vocabulary, seed=lesson.seed)),
           "shuffled corpus": ask(control),
           "random vectors": [metrics.analogies(rng.normal(size=unit.shape), vocabulary, questions)]}
right = {name: np.nan_to_num([100 * a.total.accuracy for a in found]) for name, found in answers.items()}
for name in [name for name, score in answers["a, b, c barred"][0].sections.items() if score.asked]:
    print(f"  {name:28}", *(f"{v} {100 * answers[v][0].sections[name].accuracy:.1f} %;" for v in list(answers)[:4]))
gave = [(*a[:3], a[4]).index(a[4]) for a in answers["nothing barred"][0].answers]
print("  nothing barred, the answer was a, b, c, another word:", *(gave.count(i) for i in range(4)), "times")
enough = answers["a, b, c barred"][0].total.asked >= 100
lesson.claim("barred", "right with nothing barred, as a share of right with a, b, c barred",
             by_seed(right["nothing barred"] / np.maximum(right["a, b, c barred"], 0.1)), above=0.5,
             settled=on_documentation and "fails", tested=enough)
for key, control_name in (("relation_helps", "no relation: near c"), ("false_relation", "false relation")):
    lesson.claim(key, f"points of right answers that the true relation has over '{control_name}'",
                 by_seed(right["a, b, c barred"] - right[control_name]), above=0.0, tested=enough)
fig, ax = viz.figure(size=(6.4, 3.2))
viz.bars(ax, {name: list(v) if len(v) > 2 else v[0] for name, v in right.items()}, xlabel="right answers, %",
         title="b - a + c: what does the work?")
lesson.figure(fig, "analogies", alt="Bars of right answers in per cent: "
              + ", ".join(f"{name} {np.mean(v):.1f}" for name, v in right.items()) + ".")

# %% [markdown]
# **Arrows.** If a relation were one direction, its arrows would be parallel. The picture shows two of a hundred
# dimensions; the cosines are those between the offsets b - a in all of them.

# %%
pool = [vocabulary.decode(pair) for pair in rng.integers(0, min(3000, len(vocabulary)), (100, 2))]
by_chance = metrics.parallel(unit, vocabulary, pool)
alike = {name: metrics.parallel(unit, vocabulary, found) for name, found in relations.items()} or {"chance": by_chance}
ends = [max(alike, key=alike.get), min(alike, key=alike.get)]  # the most and the least parallel relation
fig, axes = viz.figure(1, 2, (5.0, 4.0))
for ax, name in zip(axes, ends):
    names = [word for pair in relations.get(name, pool)[:9] for word in pair]
    points, explained = viz.pca(unit[vocabulary.encode(names)])
    viz.arrows(ax, points, [(i, i + 1) for i in range(0, len(names), 2)], names, share=explained,
               title=f"{name}: mean cosine {alike[name]:.2f}")
described = ", ".join(f"{name} {value:.2f}" for name, value in alike.items()) + f"; by chance {by_chance:.2f}"
print("mean cosine between offsets:", described)
lesson.figure(fig, "arrows", alt="Pairs of related words in two principal components, an arrow from the first to the "
              f"second of each. Mean cosine between offsets: {described}.")
lesson.claim("parallel", f"'{ends[0]}' is one direction: mean cosine between its offsets, above chance by",
             alike[ends[0]] - by_chance, above=0.1, settled=on_documentation)
lesson.claim("all_parallel", f"so is '{ends[1]}'", alike[ends[1]] - by_chance, above=0.1)

# %% [markdown]
# **A failure: two senses, one vector.** "Word2Vec and GloVe are the usual embeddings": that is dated. Take words of two
# senses whose truth we know: write two unrelated words alike, everywhere, and train again. In a sentence with such a
# word, which of the two was meant? The word's own vector is the same everywhere. The words around it are not: the
# answer is in the sentence. Lesson 14 computes the vector from the sentence.

# %%
usable = [i for i in range(100, min(1000, len(vocabulary))) if len(vocabulary.words[i]) > 3]
usable = rng.permutation(usable)[: len(usable) // 2 * 2].reshape(-1, 2)
apart = usable[np.argsort((unit[usable[:, 0]] * unit[usable[:, 1]]).sum(axis=1))]  # the least alike first
senses = [tuple(vocabulary.decode(pair)) for pair in apart[: len(apart) // 3][:12]]
merged = some.merge(senses)
fused = train(merged, lesson.seed, "two senses")[0]
own, around = [], []
for pair in senses:
    near = [[w for w, _ in metrics.most_similar(model.vectors, vocabulary, word, 10) if w in merged.vocabulary]
            for word in pair]
    found = metrics.tell_senses(fused.vectors, merged, some, pair, near, seed=lesson.seed)
    own, around = [*own, found[0]], [*around, found[1]]
    name = "/".join(pair)
    print(f"  {name:24}", " ".join(w for w, _ in metrics.most_similar(fused.vectors, merged.vocabulary, name, 6)))
lesson.claim("one_vector", "by the word's own vector, senses are told apart as by a coin, 0.5; the best of the words",
             max(own), within=(0.5, 0.5), settled="holds")
lesson.claim("words_around", "share of the words whose senses the words around tell apart in over 55 % of the cases",
             learn.proportion(sum(value > 0.55 for value in around), len(around)), above=0.5, settled=on_documentation)
fig, ax = viz.figure(size=(6.4, 4.2))
viz.bars(ax, {"/".join(pair): 100 * value for pair, value in zip(senses, around)}, xlabel="right sense, %",
         title="Told apart by the words around", reference=(50, "by the word's own vector"))
lesson.figure(fig, "senses", alt=f"Bars for {len(senses)} words made of two: the words around tell the sense in "
              f"{100 * np.mean(around):.0f} % of the cases on average; the word's own vector in 50 %, like a coin.")

# %% [markdown]
# ## Break it
#
# Three choices of the paper: the power 0.75 of the noise (0 draws all words alike, 1 draws them as common as they are),
# and dropping frequent words. Predict first: which costs most? The figure shows what each power draws.

# %%
lesson.predict("power_0", "noise drawn evenly (power 0) makes analogies worse than power 0.75")
fig, ax = viz.figure(size=(5.2, 3.4))
ranks = np.unique(np.geomspace(1, len(vocabulary), 25).astype(int)) - 1
for colour, marker, power in zip(viz.COLOURS, "s^o", (0.0, 1.0, 0.75)):
    q = vocabulary.counts**power / (vocabulary.counts**power).sum()
    histogram = np.bincount(rng.choice(len(q), 1_000_000, p=q), minlength=len(q))
    ax.loglog(ranks + 1, q[ranks], color=colour, linewidth=1)
    ax.loglog(ranks + 1, histogram[ranks] / 1e6, marker, color=colour, markersize=4, label=f"count^{power:g}")
ax.set(xlabel="rank of the word", ylabel="share of the noise", title="A million draws (marks) and q (lines)")
ax.legend()
lesson.figure(fig, "noise", alt="Share of the noise against the rank of a word, both logarithmic, for counts to the "
              "power of 0, 0.75 and 1: flat, falling, falling more steeply. The draws lie on the lines.")
lesson.claim("noise", "chi-square, per word, of a million draws against count^0.75",
             ((histogram - 1e6 * q) ** 2 / (1e6 * q)).sum() / (len(q) - 1), within=(0.9, 1.1), settled=on_documentation)

without = some.pairs(window, keep=np.ones(len(vocabulary)), rng=rng).shape[1]
lesson.claim("dropping_saves_work", "pairs to learn from without dropping words, over those with it",
             without / target.size, above=1.2, settled=on_documentation)
test_it = enough and not lesson.fast
for key, what, change in (("power_0", "noise of power 0", {"noise_power": 0.0}),
                          ("power_1", "noise of power 1", {"noise_power": 1.0}),
                          ("dropping", "learning from all words", {"sample": 0.0})):
    runs = [train(train_set, seed, what, **change) for seed in seeds] if test_it else trained
    found = np.nan_to_num([100 * a.total.accuracy for a in ask(runs)])
    lesson.claim(key, f"points of right answers that the default has over {what}",
                 by_seed(right["a, b, c barred"] - found), above=0.0, tested=test_it)

# %% [markdown]
# ## Exercises
#
# 1. Implement the loss of negative sampling and its three gradients in NumPy. What if a noise word is drawn twice?
# 2. Predict the number of pairs of a sentence of nine words, window 3; then with the radius drawn from 1, 2, 3.
# 3. Analogies come out at 0 % on good vectors. Name four mistakes in the test that do that, and a check for each.
# 4. Write a sampler for count^0.75 without `rng.choice`, and judge it by chi-square.

# %% [markdown]
# ## Recap
#
# * A word's vector is a row of a table. Skip-gram moves it towards its neighbours' output vectors and away from noise.
# * Neighbour lists are the sound result. Part of the fame of analogies is the rule that bars the query words.
# * One vector a word cannot say which of its senses is meant.
#
# *Glossary*: skip-gram, centre and context, input and output vectors, negative sampling, noise, cosine, unigram prior.
#
# *Where paper and code disagree*: the paper predicts the context from the centre, the code the centre from each context
# word (W1: the same pairs in another order). The paper drops words with 1 - sqrt(t/f), the code keeps sqrt(t/f) + t/f
# (W2). Its table of the sigmoid is off by up to 0.009 (W7). `Word2VecConfig` names each choice.

# %%
lesson.end()
