"""In which lesson each part of the library is introduced; a lesson uses only what its prerequisites have introduced."""

import ast

from tinymm.learn import lessons

# Longest match counts. None: machinery of the course, free for every lesson.
INTRODUCED = {
    "tinymm": "01",  # Tensor, op, gradcheck, no_grad, and the ops that no line below names
    "tinymm.learn": None,
    "tinymm.viz": None,
    "tinymm.autograd": "01",
    "tinymm.ops": "01",
    "tinymm.kernels": "02",
    "tinymm.kernels.use": "01",
    "tinymm.kernels.using": "01",
    "tinymm.kernels.backend": "01",
    "tinymm.nn": "03",
    "tinymm.optim": "03",
    "tinymm.train": "03",
    "tinymm.data.images": "03",
    "tinymm.cross_entropy": "03",
    "tinymm.dropout": "03",
    "tinymm.kl_div": "03",
    "tinymm.data.text": "04",
    "tinymm.metrics.words": "04",
    "tinymm.io": "04",
    "tinymm.models.word2vec": "04",
    "tinymm.models.glove": "05",
    "tinymm.conv2d": "06",
    "tinymm.nn.Conv2d": "06",
    "tinymm.nn.BatchNorm2d": "06",
    "tinymm.nn.RNN": "07",
    "tinymm.nn.LSTM": "07",
    "tinymm.nn.GRU": "07",
    "tinymm.nn.LayerNorm": "13",
    "tinymm.layer_norm": "13",
}


def reach(name):
    """The numbers of a lesson and of all lessons that it builds on, directly or through others.

    Raises
    ------
    LookupError
        If a lesson that is needed does not exist or comes later.
    """
    found, left = {name[:2]}, [name]
    while left:
        lesson = left.pop()
        for number in lessons.header(lesson).needs:
            if number >= lesson[:2]:
                raise LookupError(f"lesson {lesson} needs {number}, which does not come before it")
            if number not in found:
                found.add(number)
                left.append(lessons.resolve(number))
    return found


def used(name):
    """What a lesson uses of the library: set of dotted names such as ``tinymm.nn.Linear``."""
    tree = ast.parse(lessons.script(name).read_text(encoding="utf-8"))
    bound = {}  # name in the script -> dotted name
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "tinymm":
                    bound[alias.asname or "tinymm"] = alias.name if alias.asname else "tinymm"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tinymm":
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    found = set(bound.values()) - {"tinymm"}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            root, _, rest = ast.unparse(node).partition(".")
            if root in bound and rest.replace(".", "").isidentifier():
                found.add(f"{bound[root]}.{rest}")
    return found


def introduced(dotted):
    """The lesson in which ``tinymm.x.y`` is introduced, or None for what every lesson may use."""
    while dotted not in INTRODUCED:
        dotted = dotted.rpartition(".")[0]
    return INTRODUCED[dotted]


def too_early(name):
    """What a lesson uses before it is introduced: list of (dotted name, number of the lesson that introduces it)."""
    allowed = reach(name)
    found = [(dotted, introduced(dotted)) for dotted in sorted(used(name))]
    return [(dotted, number) for dotted, number in found if number is not None and number not in allowed]
