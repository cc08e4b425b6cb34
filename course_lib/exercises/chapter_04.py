"""Chapter 04: position. The order in this module is that of chapter 03, the pattern."""

import math

import torch
from torch import Tensor, nn

from course_lib import positions
from course_lib.exercises.chapter_03 import size, starter
from course_lib.grading.exercise import Check, Exercise, Misconception, not_attempted
from course_lib.grading.observe import check_gradients, check_values, generator, integers, modules, normal

# --- sinusoidal_encoding ----------------------------------------------------------------------------------------------


def table_by_loop(length: int, d_model: int) -> Tensor:
    """Number by number, in Python's own arithmetic."""
    rows = []
    for position in range(length):
        row = []
        for column in range(d_model):
            angle = position / 10000 ** ((column - column % 2) / d_model)
            row.append(math.cos(angle) if column % 2 else math.sin(angle))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float32).view(length, d_model)


def compare_positions(submission, inputs):
    """The dot products of all positions with each other, and the length of every row."""
    table = submission(inputs["length"], inputs["d_model"])
    return {"dot products of all rows with each other": table @ table.T, "squared lengths": (table**2).sum(-1)}


def expect_dot_products(inputs: dict) -> dict:
    """sin a sin b + cos a cos b = cos(a - b): the sum over all pairs of columns depends on the distance only."""
    t, d = inputs["length"], inputs["d_model"]
    distance = torch.arange(t)[:, None] - torch.arange(t)
    pairs = [torch.cos(distance.double() / 10000 ** (2 * i / d)) for i in range(d // 2)]
    return {"dot products of all rows with each other": sum(pairs).float(), "squared lengths": torch.full((t,), d / 2)}


def even(g: torch.Generator, low: int, high: int) -> int:
    return 2 * size(g, low // 2, high // 2)


def sinusoids(exponent=lambda i, d: 2 * i / d, first=torch.sin, second=torch.cos, start=0, arrange=None):
    """The table with some of its parts replaced; without arguments it is right. i counts the pairs of columns."""

    def encode(length: int, d_model: int) -> Tensor:
        i = torch.arange((d_model + 1) // 2, dtype=torch.float64)
        angle = (start + torch.arange(length, dtype=torch.float64))[:, None] / 10000 ** exponent(i, d_model)
        sine, cosine = first(angle), second(angle)  # [T, ceil(D/2)]
        if arrange is not None:
            return arrange(sine, cosine)[:, :d_model].float()
        return torch.stack([sine, cosine], -1).flatten(1)[:, :d_model].float()

    return encode


def sinusoids_by_column(length, d_model):
    j = torch.arange(d_model)
    angle = torch.arange(length).double()[:, None] / 10000 ** (j / d_model)
    return torch.where(j % 2 == 0, angle.sin(), angle.cos()).float()


def one_number(length, d_model):
    angle = torch.arange(length).double()[:, None] / 10000 ** (2 / d_model)
    return (angle.sin() + angle.cos()).expand(length, d_model).float()


def even_widths_only(length, d_model):
    table = torch.zeros(length, d_model)
    angle = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, d_model, 2) / d_model)
    table[:, 0::2], table[:, 1::2] = angle.sin(), angle.cos()
    return table


def sinusoids_by_phase(length, d_model):
    column = torch.arange(d_model, dtype=torch.float64)
    frequency = 10000 ** (-(column - column % 2) / d_model)
    return torch.sin(torch.outer(torch.arange(length).double(), frequency) + math.pi / 2 * (column % 2)).float()


def sinusoids_by_complex_numbers(length, d_model):
    w = torch.tensor([10000 ** (-2 * i / d_model) for i in range(math.ceil(d_model / 2))], dtype=torch.float64)
    turning = torch.polar(torch.ones(length, len(w)).double(), torch.arange(length).double()[:, None] * w)
    pairs = torch.view_as_real(turning).flip(-1)  # real part: cosine, imaginary part: sine
    return pairs.reshape(length, 2 * len(w))[:, :d_model].float()


def sinusoids_by_turning(length, d_model):
    """Each row is the row before it, turned pair by pair."""
    w = 10000 ** (-torch.arange(0, d_model + 1, 2).double() / d_model)
    sine, cosine, rows = torch.zeros_like(w), torch.ones_like(w), []
    for _ in range(length):
        rows.append(torch.stack([sine, cosine], -1).flatten()[:d_model])
        sine, cosine = sine * w.cos() + cosine * w.sin(), cosine * w.cos() - sine * w.sin()
    return torch.stack(rows).float()


SINUSOIDAL_ENCODING = Exercise(
    id="sinusoidal_encoding",
    chapter=4,
    title="Sinusoidal positions",
    signature="sinusoidal_encoding(length, d_model)",
    statement=r"""Give every position a vector that no other position has. For the pair of columns $2i$ and $2i+1$:

$$\mathrm{PE}(pos, 2i) = \sin\!\left(\frac{pos}{10000^{2i/d_{\text{model}}}}\right), \qquad
\mathrm{PE}(pos, 2i+1) = \cos\!\left(\frac{pos}{10000^{2i/d_{\text{model}}}}\right)$$

- The result is a float32 tensor `[length, d_model]`; row 0 belongs to position 0.
- An odd `d_model` ends on a sine, whose cosine has no column any more.
- Both columns of a pair have the **same** frequency. What is row 1 for `d_model=4`? Do it by hand first.

(Document 001, §3.3, adds sine and cosine and has no $i$. Document 002, §3, has it right.)""",
    minutes=15,
    difficulty=2,
    concepts=("C19",),
    errata=("E048", "E049", "E003", "E161"),
    reference=positions.sinusoidal_encoding,
    starter=starter("sinusoidal_encoding(length, d_model)", "float32 [T, D]: sines on the even columns."),
    read_again="chapter 04, “Many clocks”",
    checks=(
        check_values(
            "values", 3, "Compute row 1 for d_model=4 by hand, and compare.",
            lambda g: [(size(g, 5, 9), even(g, 10, 20)), (size(g, 10, 14), even(g, 4, 8))], table_by_loop, atol=1e-4,
        ),
        check_values(
            "long", 2, "Think of the largest position and of the slowest pair of columns.",
            lambda g: [(size(g, 400, 512), even(g, 30, 64)), (size(g, 100, 200), even(g, 256, 300))], table_by_loop,
            needs=("values",), atol=1e-4,
        ),
        Check(
            "distances", 2,
            "The dot product of two rows should depend on how far apart they are, and each row have the squared length "
            "d_model / 2. Which columns belong together?",
            lambda seed: {"length": size(generator(seed), 20, 30), "d_model": even(generator(seed + 1), 10, 40)},
            compare_positions, expect_dot_products, atol=1e-3,
        ),
        check_values(
            "odd", 1, "With an odd d_model there is one sine more than there are cosines.",
            lambda g: [(size(g, 4, 9), even(g, 4, 12) + 1), (size(g, 10, 15), 1)], table_by_loop,
            needs=("values",), atol=1e-4,
        ),
        check_values(
            "edges", 1, "Think of a single position, and of a single pair of columns.",
            lambda g: [(1, even(g, 4, 20)), (size(g, 3, 40), 2)], table_by_loop, atol=1e-4,
        ),
    ),
    misconceptions=(
        Misconception(
            "document_001", one_number,
            "This is document 001’s formula (E048): sine and cosine added up, the same number in all columns. "
            "Positions collide, and a LayerNorm takes it away. Where is i?",
        ),
        Misconception(
            "one_frequency", sinusoids(lambda i, d: 2 / d + 0 * i),
            "All pairs of columns have the same frequency: the exponent has 2 where 2i should be.",
        ),
        Misconception(
            "halves", sinusoids(arrange=lambda s, c: torch.cat([s, c], -1)),
            "Your sines fill the first half of the columns and your cosines the second. The formula wants them side by "
            "side, in turn. (Both layouts are in use elsewhere, and they are not interchangeable.)",
        ),
        Misconception(
            "cosine_first", sinusoids(first=torch.cos, second=torch.sin),
            "Sines and cosines have changed places: at position 0 the first column should be 0.",
        ),
        Misconception(
            "half_exponent", sinusoids(lambda i, d: i / d),
            "The exponent is i/d_model with i counting the pairs. The slowest pair should be almost 10000 times as "
            "slow as the first: count columns, not pairs.",
        ),
        Misconception(
            "each_column", sinusoids_by_column,
            "Every column has a frequency of its own. The cosine should have that of the sine to its left.",
        ),
        Misconception(
            "double_exponent", sinusoids(lambda i, d: 4 * i / d),
            "The exponent is doubled once too often: `arange(0, d_model, 2)` gives 2i already.",
        ),
        Misconception(
            "reaches_base", sinusoids(lambda i, d: i / max(1, (d + 1) // 2 - 1)),
            "Your last pair has the wavelength 2π·10000 exactly, as in a well-known library. In the formula it stays "
            "just below.",
        ),
        Misconception(
            "multiplied", sinusoids(lambda i, d: -2 * i / d),
            "Your frequencies rise: position is multiplied by 10000^(2i/d) instead of divided.",
        ),
        Misconception(
            "from_one", sinusoids(start=1),
            "Your first row belongs to position 1. Count from 0.",
        ),
        Misconception(
            "transposed", lambda length, d_model: sinusoids()(length, d_model).T,
            "Your table has one row for each column. It should have one row for each position.",
        ),
        Misconception(
            "batch_axis", lambda length, d_model: sinusoids()(length, d_model)[None],
            "Your table has an axis too many in front. [T, D] broadcasts to a batch by itself.",
        ),
        Misconception(
            "double", lambda length, d_model: sinusoids()(length, d_model).double(),
            "The values are right, but the result is float64. Compute in it by all means, and return float32.",
        ),
        Misconception(
            "even_widths_only", even_widths_only,
            "With an odd d_model there is one sine column more than there are cosine columns.",
        ),
    ),
    alternatives=(sinusoids_by_phase, sinusoids_by_complex_numbers, sinusoids_by_turning),
)  # fmt: skip

# --- LearnedPositions -------------------------------------------------------------------------------------------------


def who_learns(submission, inputs):
    """The names and shapes of the parameters."""
    module = submission(*inputs["arguments"])
    return {"parameters": {name: list(p.shape) for name, p in module.named_parameters()}}


def too_long(submission, inputs):
    """What comes of sequences of the given lengths."""
    max_len, d_model = inputs["arguments"]
    module = submission(max_len, d_model)
    found = {}
    for t in inputs["lengths"]:
        try:
            result = module(torch.zeros(2, t, d_model))
            found[f"{t} tokens with max_len={max_len}"] = f"a result {list(result.shape)}"
        except Exception as error:
            found[f"{t} tokens with max_len={max_len}"] = type(error).__name__
    return found


def module_gradients(submission, inputs):
    """The gradients with respect to the input and to the table."""
    module = submission(*inputs["arguments"])
    module.load_state_dict(inputs["weights"])
    x = inputs["x"].clone().requires_grad_()
    (module(x) * inputs["slopes"]).sum().backward()
    table = dict(module.named_parameters())["table"]
    return {"x": x.grad, "table": torch.zeros_like(table) if table.grad is None else table.grad}


def learned(seed: int, *shapes: tuple, dtype=torch.float32) -> dict:
    """Arguments, weights and cases; each shape is (B, T as a share of max_len)."""
    g = generator(seed)
    max_len, d_model = size(g, 8, 12), size(g, 3, 6)
    cases = [(normal(g, b, max_len if t is None else t, d_model, dtype=dtype),) for b, t in shapes]
    return {"arguments": (max_len, d_model), "weights": {"table": normal(g, max_len, d_model)}, "cases": cases}


def expect_learned(inputs: dict) -> dict:
    cases = []
    for (x,) in inputs["cases"]:
        rows = [[token + inputs["weights"]["table"][t] for t, token in enumerate(sentence)] for sentence in x]
        cases.append({"result": torch.stack([torch.stack(row) for row in rows]), "arguments": (x,)})
    return {"state": {"table": list(inputs["arguments"])}, "cases": cases}


def learned_gradients(seed: int) -> dict:
    g = generator(seed)
    max_len, d_model, b, t = size(g, 8, 12), size(g, 3, 6), 2, 7
    return {
        "arguments": (max_len, d_model), "weights": {"table": normal(g, max_len, d_model)},
        "x": normal(g, b, t, d_model), "slopes": normal(g, b, t, d_model),
    }  # fmt: skip


def expect_learned_gradients(inputs: dict) -> dict:
    slopes, table = inputs["slopes"], torch.zeros(inputs["arguments"])
    for sentence in slopes:
        for t, slope in enumerate(sentence):
            table[t] += slope
    return {"x": slopes, "table": table}


def lengths_around(seed: int) -> dict:
    g = generator(seed)
    max_len = size(g, 6, 40)
    return {"arguments": (max_len, size(g, 3, 5)), "lengths": [max_len, max_len + 1, max_len + size(g, 2, 90)]}


def expect_too_long(inputs: dict) -> dict:
    max_len, d_model = inputs["arguments"]
    return {
        f"{t} tokens with max_len={max_len}": f"a result {[2, t, d_model]}" if t <= max_len else "ValueError"
        for t in inputs["lengths"]
    }


def learned_as(use, *, rows=lambda max_len, d_model: (max_len, d_model), refuse=True, parameter=True, name="table"):
    """A module that differs in one respect: what it does with x and the table, the table's shape or kind, the error."""

    class Module(nn.Module):
        def __init__(self, max_len, d_model):
            super().__init__()
            self.max_len, table = max_len, torch.randn(rows(max_len, d_model)) * 0.02
            self.register_parameter(name, nn.Parameter(table)) if parameter else self.register_buffer(name, table)

        def forward(self, x):
            if refuse and x.shape[1] > self.max_len:
                raise ValueError(f"{x.shape[1]} tokens, max_len={self.max_len}")
            return use(x, getattr(self, name))

    return Module


class FromEmbedding(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.table = nn.Embedding(max_len, d_model)

    def forward(self, x):
        if x.shape[1] > self.table.num_embeddings:
            raise ValueError(f"{x.shape[1]} tokens, max_len={self.table.num_embeddings}")
        return x + self.table(torch.arange(x.shape[1]))


class Asserting(learned_as(lambda x, table: x + table[: x.shape[1]], refuse=False)):
    def forward(self, x):
        assert x.shape[1] <= self.max_len
        return super().forward(x)


def added_in_place(x, table):
    x += table[: x.shape[1]]
    return x


class LearnedByLookup(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.table = nn.Parameter(torch.empty(max_len, d_model))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x):
        ids = torch.arange(x.size(1))
        if len(ids) > len(self.table):
            raise ValueError(f"{len(ids)} positions, but the table has only {len(self.table)} rows")
        return nn.functional.embedding(ids, self.table).unsqueeze(0).expand_as(x) + x


class LearnedByOneHot(nn.Module):
    def __init__(self, max_len, d_model):
        super().__init__()
        self.register_parameter("table", nn.Parameter(torch.zeros(max_len, d_model)))

    def forward(self, x):
        if x.shape[1] > self.table.shape[0]:
            raise ValueError("too long")
        return torch.baddbmm(
            x,
            torch.eye(x.shape[1], len(self.table)).expand(len(x), -1, -1).to(x),
            self.table.to(x).expand(len(x), -1, -1),
        )


LEARNED_POSITIONS = Exercise(
    id="LearnedPositions",
    chapter=4,
    title="Learned positions",
    signature="LearnedPositions(max_len, d_model)",
    statement=r"""BERT and GPT-2 do not compute positions: they learn a vector for each, like a word vector.

- `LearnedPositions(max_len, d_model)` is a module with one parameter, `table`, of shape `[max_len, d_model]`
  (an `nn.Parameter`, so that its name in the state dict is `table`). Start it with small random numbers.
- `forward(x)` takes `x [B, T, D]` and adds row t of the table to token t **of every sentence**.
- There is no vector for positions past the end: more than `max_len` tokens raise a `ValueError` that names both
  numbers.

(Document 001, §4, has a table of shape `(1, d)`: the same vector for every position, and nothing is learned of order.
Document 003, §4, has `(1, num_layers, d)`. What should the second axis count?)""",
    minutes=10,
    difficulty=2,
    concepts=("C20",),
    errata=("E055", "E089", "E072"),
    reference=positions.LearnedPositions,
    starter=f'''import torch
from torch import nn


class LearnedPositions(nn.Module):
    """Adds a learned vector for each position: [B, T, D] -> [B, T, D]."""

    def __init__(self, max_len, d_model):
        super().__init__()
        raise NotImplementedError("{not_attempted("LearnedPositions")}")

    def forward(self, x):
        ...''',
    read_again="chapter 04, “A table that is learned”",
    checks=(
        Check(
            "values", 3,
            "The state dict has one entry, `table` [max_len, d_model], and each token gets the row of its own "
            "position.",
            lambda seed: learned(seed, (2, 5), (3, 7)), modules, expect_learned,
        ),
        Check(
            "learned", 2, "Is the table among the module’s parameters, which an optimiser is given?",
            lambda seed: {"arguments": (size(generator(seed), 20, 900), size(generator(seed + 1), 3, 200))}, who_learns,
            lambda inputs: {"parameters": {"table": list(inputs["arguments"])}},
        ),
        Check(
            "too_long", 2, "Compare the number of tokens with max_len, and raise a ValueError yourself.",
            lengths_around, too_long, expect_too_long,
        ),
        Check(
            "gradients", 2, "The table learns from every sentence of the batch, and x from nothing but the sum.",
            learned_gradients, module_gradients, expect_learned_gradients, needs=("values", "learned"),
        ),
        Check(
            "edges", 1, "Think of a single token, of exactly max_len tokens, and of float64.",
            lambda seed: learned(seed, (1, 1), (2, None), (4, 1), dtype=torch.float64), modules, expect_learned,
        ),
    ),
    misconceptions=(
        Misconception(
            "one_row", learned_as(lambda x, table: x + table, rows=lambda max_len, d_model: (1, d_model)),
            "Your table has one row, as in document 001 (E055): every position gets the same vector, so it says "
            "nothing about positions.",
        ),
        Misconception(
            "batch_axis",
            learned_as(lambda x, table: x + table[:, : x.shape[1]], rows=lambda *sizes: (1, *sizes)),
            "Your table has an axis of length 1 in front. It broadcasts without it.",
        ),
        Misconception(
            "transposed", learned_as(lambda x, table: x + table.T[: x.shape[1]], rows=lambda *sizes: sizes[::-1]),
            "Your table has max_len columns. It should have max_len rows.",
        ),
        Misconception(
            "one_row_too_many", learned_as(lambda x, table: x + table[: x.shape[1]], rows=lambda n, d: (n + 1, d)),
            "Your table has a row too many: positions run from 0 to max_len - 1.",
        ),
        Misconception(
            "embedding_module", FromEmbedding,
            "An nn.Embedding holds its parameter as `weight`, so the state dict says `table.weight`. Make the table "
            "itself an nn.Parameter.",
        ),
        Misconception(
            "other_name", learned_as(lambda x, table: x + table[: x.shape[1]], name="weight"),
            "Your parameter is called `weight`. Name it `table`, so that other people’s weights can be loaded.",
        ),
        Misconception(
            "buffer", learned_as(lambda x, table: x + table[: x.shape[1]], parameter=False),
            "Your table is in the state dict but not among the parameters: an optimiser will never change it. That is "
            "how sinusoids are kept.",
        ),
        Misconception(
            "detached", learned_as(lambda x, table: x + table[: x.shape[1]].detach()),
            "The values are right, but the table is cut off from its gradient and stays as it is.",
        ),
        Misconception(
            "last_rows", learned_as(lambda x, table: x + table[-x.shape[1] :]),
            "Your first token gets a row from the end of the table. Count positions from 0.",
        ),
        Misconception(
            "from_one", learned_as(lambda x, table: x + table[(torch.arange(x.shape[1]) + 1) % len(table)]),
            "Your first token gets row 1. Count positions from 0.",
        ),
        Misconception(
            "by_sentence", learned_as(lambda x, table: x + table[: len(x), None]),
            "Your rows follow the sentences of the batch: all tokens of a sentence get the same one.",
        ),
        Misconception(
            "multiplied", learned_as(lambda x, table: x * table[: x.shape[1]]),
            "Your positions are multiplied with the tokens. They are added.",
        ),
        Misconception(
            "positions_only", learned_as(lambda x, table: table[: x.shape[1]].expand(len(x), -1, -1)),
            "Your result holds the positions and has lost the tokens.",
        ),
        Misconception(
            "concatenated", learned_as(lambda x, table: torch.cat([x, table[: x.shape[1]].expand_as(x)], -1)),
            "Your result is twice as wide. Positions are added.",
        ),
        Misconception(
            "broadcast_error", learned_as(lambda x, table: x + table[: x.shape[1]], refuse=False),
            "Past max_len your sum fails with a RuntimeError about shapes. Say what is wrong, in a ValueError.",
        ),
        Misconception(
            "asserts", Asserting,
            "An assert is for what cannot happen, and `python -O` takes it out. Raise a ValueError.",
        ),
        Misconception(
            "wraps_around", learned_as(lambda x, table: x + table[torch.arange(x.shape[1]) % len(table)], refuse=False),
            "Past max_len your positions begin again at 0, and nobody is told.",
        ),
        Misconception(
            "cut_off", learned_as(lambda x, table: x[:, : len(table)] + table[: x.shape[1]], refuse=False),
            "Past max_len your result silently loses its end.",
        ),
        Misconception(
            "in_place", learned_as(added_in_place),
            "Operators like += write into the caller’s tensor. Make a new one.",
        ),
    ),
    alternatives=(LearnedByLookup, LearnedByOneHot, learned_as(lambda x, table: table[None, : x.shape[1]] + x)),
)  # fmt: skip

# --- apply_rotary -----------------------------------------------------------------------------------------------------


def rotary_by_loop(x: Tensor, positions: Tensor) -> Tensor:
    """Pair by pair, with Python's own sine and cosine; the gradient flows."""
    d, columns = x.shape[-1], []
    for i in range(d // 2):
        angles = [p / 10000 ** (2 * i / d) for p in positions.tolist()]
        cos, sin = (torch.tensor([f(angle) for angle in angles], dtype=x.dtype) for f in (math.cos, math.sin))
        a, b = x[..., 2 * i], x[..., 2 * i + 1]
        columns += [a * cos - b * sin, a * sin + b * cos]
    return torch.stack(columns, -1)


def shifted_scores(submission, inputs):
    """Scores of queries with keys when all positions are shifted, and the lengths of the turned queries."""
    query, key, positions = inputs["query"], inputs["key"], inputs["positions"]
    found = {}
    for shift in inputs["shifts"]:
        turned = submission(query, positions + shift)
        found[f"scores, shifted by {shift}"] = turned @ submission(key, positions + shift).T
        found[f"squared lengths, shifted by {shift}"] = (turned**2).sum(-1)
    return found


def shifts(seed: int) -> dict:
    g = generator(seed)
    return {
        "query": normal(g, 5, 6, dtype=torch.float64), "key": normal(g, 5, 6, dtype=torch.float64),
        "positions": torch.arange(5), "shifts": [size(g, 1, 4), size(g, 5, 20)],
    }  # fmt: skip


def expect_unshifted(inputs: dict) -> dict:
    query, key = (rotary_by_loop(inputs[name], inputs["positions"]) for name in ("query", "key"))
    found = {}
    for shift in inputs["shifts"]:
        found[f"scores, shifted by {shift}"] = query @ key.T
        found[f"squared lengths, shifted by {shift}"] = (inputs["query"] ** 2).sum(-1)
    return found


def to_turn(g: torch.Generator, *lead: int, t: int, d: int, most: int = 12, dtype=torch.float32) -> tuple:
    """x and positions, in no order, none of them 0, so that nothing stays as it is by chance."""
    return normal(g, *lead, t, d, dtype=dtype), integers(g, 2, most, t)


def rotation(exponent=lambda i, d: 2 * i / d, turn=lambda a, b, c, s: (a * c - b * s, a * s + b * c), place=None):
    """The rotation with some of its parts replaced; without arguments it is right."""

    def rotate(x: Tensor, positions: Tensor) -> Tensor:
        d = x.shape[-1]
        i = torch.arange(d // 2, dtype=torch.float64)
        where = positions.double() if place is None else place(positions.double())
        angle = where[:, None] / 10000 ** exponent(i, d)
        turned = turn(x[..., 0::2], x[..., 1::2], angle.cos().to(x.dtype), angle.sin().to(x.dtype))
        return torch.stack(turned, -1).flatten(-2)

    return rotate


def rotary_in_halves(x: Tensor, positions: Tensor) -> Tensor:
    """The other layout: feature i is turned together with feature i + D/2."""
    a, b = x.chunk(2, -1)
    turned = rotation()(torch.stack([a, b], -1).flatten(-2), positions)
    return torch.cat([turned[..., 0::2], turned[..., 1::2]], -1)


def rotary_not_interleaved(x: Tensor, positions: Tensor) -> Tensor:
    turned = rotation()(x, positions)
    return torch.cat([turned[..., 0::2], turned[..., 1::2]], -1)


def rotary_each_column(x: Tensor, positions: Tensor) -> Tensor:
    d = x.shape[-1]
    angle = positions.double()[:, None] / 10000 ** (torch.arange(d) / d)
    partner = torch.stack([-x[..., 1::2], x[..., 0::2]], -1).flatten(-2)
    return x * angle.cos().to(x.dtype) + partner * angle.sin().to(x.dtype)


def rotary_two_axes_only(x: Tensor, positions: Tensor) -> Tensor:
    d = x.shape[1]
    angle = positions.double()[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
    c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[:, 0::2], x[:, 1::2]
    return torch.stack([a * c - b * s, a * s + b * c], 2).flatten(1)


def rotary_in_place(x: Tensor, positions: Tensor) -> Tensor:
    turned = rotation()(x, positions)
    x.copy_(turned)
    return x


def rotary_by_complex_numbers(x, positions):
    d = x.shape[-1]
    w = 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    turns = torch.polar(torch.ones(len(positions), d // 2).double(), positions.double()[:, None] * w)
    pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], d // 2, 2))
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)


def rotary_by_partner(x, positions):
    d = x.shape[-1]
    column = torch.arange(d)
    angle = positions.double()[:, None] / 10000 ** ((column - column % 2) / d)
    partner = x[..., column + 1 - 2 * (column % 2)] * (2.0 * (column % 2) - 1).to(x.dtype)
    return x * angle.cos().to(x.dtype) + partner * angle.sin().to(x.dtype)


def rotary_by_matrices(x, positions):
    rows = []
    for t, position in enumerate(positions.tolist()):
        turns = []
        for i in range(x.shape[-1] // 2):
            angle = position / 10000 ** (2 * i / x.shape[-1])
            turns.append(torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]))
        rows.append(x[..., t, :] @ torch.block_diag(*turns).to(x.dtype).T)
    return torch.stack(rows, -2)


APPLY_ROTARY = Exercise(
    id="apply_rotary",
    chapter=4,
    title="Rotary positions",
    signature="apply_rotary(x, positions)",
    statement=r"""Say where a query or key stands by **turning** it. Take the features in pairs $(2i, 2i+1)$, and turn
pair $i$ of the token at position $m$ by the angle $\theta = m \cdot 10000^{-2i/D}$:

$$(a, b) \;\mapsto\; (a\cos\theta - b\sin\theta,\;\; a\sin\theta + b\cos\theta)$$

- `x` is `[…, T, D]` with an even `D` and any number of axes in front; the result has its shape and dtype.
- `positions` is an integer tensor `[T]`, a number for each token: they need not be 0, 1, 2 … (think of a token that is
  written after others have been kept).
- Then the score of a query at $m$ with a key at $n$ depends on $m - n$ alone. Why? (Turn both by the same angle.)""",
    minutes=20,
    difficulty=3,
    concepts=("C21",),
    errata=("E044", "E052"),
    reference=positions.apply_rotary,
    starter=starter("apply_rotary(x, positions)", "x [..., T, D], positions int [T] -> [..., T, D], pairs turned."),
    read_again="chapter 04, “Turn the vectors”",
    library_calls=("RotaryEmbedding", "apply_rotary_pos_emb"),
    checks=(
        check_values(
            "values", 3, "Take one pair at one position, turn it by hand, and compare.",
            lambda g: [to_turn(g, t=4, d=6), to_turn(g, t=5, d=8)], rotary_by_loop, atol=1e-4,
        ),
        check_values(
            "axes", 1, "There may be a batch and heads in front: count axes from the end.",
            lambda g: [to_turn(g, 2, t=5, d=4), to_turn(g, 2, 3, t=4, d=6), to_turn(g, 3, 5, t=1, d=2)], rotary_by_loop,
            needs=("values",), atol=1e-4,
        ),
        Check(
            "distance_only", 2,
            "Shift all positions by the same number: no score may change. And a rotation keeps every length.",
            shifts, shifted_scores, expect_unshifted, atol=1e-4,
        ),
        check_gradients(
            "gradients", 2, "Stay with torch operations on x: no `.detach()`, `.item()` or NumPy.",
            lambda g: [to_turn(g, t=3, d=6), to_turn(g, 2, t=3, d=4)], rotary_by_loop,
            needs=("values", "axes"), atol=1e-4,
        ),
        check_values(
            "edges", 1, "Think of position 0, of a single pair, of a single token, and of float64.",
            lambda g: [
                (normal(g, 3, 6), torch.zeros(3, dtype=torch.int64)), to_turn(g, t=5, d=2), to_turn(g, t=1, d=4),
                to_turn(g, t=3, d=8, dtype=torch.float64),
            ],
            rotary_by_loop, atol=1e-4,
        ),
    ),
    misconceptions=(
        Misconception(
            "backwards", rotation(turn=lambda a, b, c, s: (a * c + b * s, b * c - a * s)),
            "You turn the other way round: a minus sign sits in the wrong one of the two lines.",
        ),
        Misconception(
            "halves", rotary_in_halves,
            "You pair feature i with feature i + D/2, as some libraries do. Here neighbours are pairs: 2i and 2i + 1.",
        ),
        Misconception(
            "not_interleaved", rotary_not_interleaved,
            "The turned pairs are right, but they are no longer neighbours: all first halves stand before all second "
            "halves.",
        ),
        Misconception(
            "half_exponent", rotation(lambda i, d: i / d),
            "The exponent is i/D, with i counting the pairs. It should be 2i/D.",
        ),
        Misconception(
            "each_column", rotary_each_column,
            "The two features of a pair are turned by different angles. Then it is no rotation, and lengths change.",
        ),
        Misconception(
            "one_angle", rotation(lambda i, d: 0 * i),
            "All pairs are turned by the same angle. Each has a speed of its own.",
        ),
        Misconception(
            "swapped", rotation(turn=lambda a, b, c, s: (a * s - b * c, a * c + b * s)),
            "Sine and cosine have changed places: at position 0 nothing should be turned.",
        ),
        Misconception(
            "counts_tokens", rotation(place=lambda p: torch.arange(len(p)).double()),
            "You number the tokens 0, 1, 2 … yourself. Use the positions that are given.",
        ),
        Misconception(
            "from_one", rotation(place=lambda p: p + 1),
            "Your positions are one too high: at position 0 nothing is turned.",
        ),
        Misconception(
            "added", lambda x, p: x + sinusoids()(100, x.shape[-1])[p].to(x.dtype),
            "You add the sinusoids of the positions. Turn the vector itself instead: the sines and cosines multiply "
            "it.",
        ),
        Misconception(
            "second_from_new_first", rotation(turn=lambda a, b, c, s: (a * c - b * s, (a * c - b * s) * s + b * c)),
            "The second line uses the *new* a. Both lines need the old one.",
        ),
        Misconception(
            "rising", rotation(lambda i, d: -2 * i / d),
            "Your later pairs turn faster and faster. The exponent of 10000 is negative.",
        ),
        Misconception(
            "two_axes_only", rotary_two_axes_only,
            "This works for [T, D] alone. With a batch or heads in front, axis 1 is something else: count from the "
            "end.",
        ),
        Misconception(
            "in_place", rotary_in_place,
            "You write into the caller’s tensor. Make a new one.",
        ),
        Misconception(
            "float32_only", lambda x, p: rotation()(x.float(), p),
            "Your result is always float32. It should have the dtype of x.",
        ),
        Misconception(
            "detached", lambda x, p: rotation()(x.detach(), p),
            "The values are right, but they are cut off from x: queries and keys could never be trained.",
        ),
    ),
    alternatives=(rotary_by_complex_numbers, rotary_by_partner, rotary_by_matrices),
)  # fmt: skip

# --- alibi_bias -------------------------------------------------------------------------------------------------------


def alibi_by_loop(n_heads: int, t_q: int, t_k: int) -> Tensor:
    heads = []
    for h in range(1, n_heads + 1):
        slope = 2 ** (-8 * h / n_heads)
        heads.append([[-slope * abs((t_k - 1 - j) - (t_q - 1 - i)) for j in range(t_k)] for i in range(t_q)])
    return torch.tensor(heads, dtype=torch.float32)


def attend_with_bias(submission, inputs):
    """PyTorch's attention with the bias: of a whole sequence, and of its last queries alone."""
    query, key, value, last = inputs["query"], inputs["key"], inputs["value"], inputs["last"]
    attend, (h, t, _) = torch.nn.functional.scaled_dot_product_attention, key.shape
    return {
        "attention with your bias": attend(query, key, value, attn_mask=submission(h, t, t)),
        "the last queries with your bias": attend(query[:, -last:], key, value, attn_mask=submission(h, last, t)),
    }


def to_attend(seed: int) -> dict:
    g = generator(seed)
    return {"query": normal(g, 4, 7, 6), "key": normal(g, 4, 7, 6), "value": normal(g, 4, 7, 5), "last": 2}


def expect_attention_with_bias(inputs: dict) -> dict:
    """Head by head and query by query."""
    h, t, d = inputs["key"].shape
    scores = inputs["query"] @ inputs["key"].mT / math.sqrt(d) + alibi_by_loop(h, t, t)
    whole = scores.softmax(-1) @ inputs["value"]
    return {"attention with your bias": whole, "the last queries with your bias": whole[:, -inputs["last"] :]}


def biased(
    slopes=lambda h, n_heads: 2 ** (-8 * h / n_heads),
    distance=lambda i, j, t_q, t_k: (i + t_k - t_q - j).abs(),
    sign=-1,
):
    """The bias with some of its parts replaced; without arguments it is right. Heads h count from 1."""

    def bias(n_heads: int, t_q: int, t_k: int) -> Tensor:
        slope = slopes(torch.arange(1, n_heads + 1).double(), n_heads)[:, None, None]
        i, j = torch.arange(t_q).double()[:, None], torch.arange(t_k).double()
        return (sign * slope * distance(i, j, t_q, t_k)).float() + 0.0

    return bias


def slopes_of_the_papers_code(h: Tensor, n_heads: int) -> Tensor:
    """As the authors' code has it: those of the next power of two below, then every other one of twice as many."""
    power = 2 ** int(math.log2(n_heads))
    first = [2 ** (-8 * k / power) for k in range(1, power + 1)]
    more = [2 ** (-4 * k / power) for k in range(1, 2 * power + 1, 2)]
    return torch.tensor((first + more)[:n_heads], dtype=torch.float64)


def alibi_that_masks(n_heads: int, t_q: int, t_k: int) -> Tensor:
    ahead = torch.ones(t_q, t_k).triu(1 + t_k - t_q).bool()
    return biased()(n_heads, t_q, t_k).masked_fill(ahead, -torch.inf)


def alibi_by_cdist(n_heads, t_q, t_k):
    queries, keys = torch.arange(t_k - t_q, t_k).double()[:, None], torch.arange(t_k).double()[:, None]
    slopes = torch.logspace(-8 / n_heads, -8, n_heads, base=2, dtype=torch.float64)
    return torch.einsum("h,qk->hqk", -slopes, torch.cdist(queries, keys, p=1)).float()


def alibi_by_cutting_out(n_heads, t_q, t_k):
    n = max(t_q, t_k)
    ratio = 2 ** (-8 / n_heads)
    distance = torch.stack([torch.arange(n).sub(i).abs() for i in range(n)])[n - t_q :, n - t_k :]
    return torch.stack([distance * -(ratio ** (h + 1)) for h in range(n_heads)])


def heads(g: torch.Generator, *choices: int) -> int:
    return choices[size(g, 0, len(choices) - 1)]


def alibi_more_keys(g: torch.Generator) -> list[tuple]:
    t_q = size(g, 2, 5)
    return [(heads(g, 2, 4), t_q, t_q + size(g, 1, 5)), (4, 1, size(g, 6, 12))]


def alibi_more_queries(g: torch.Generator) -> list[tuple]:
    t_k = size(g, 2, 5)
    return [(heads(g, 2, 4), t_k + size(g, 1, 5), t_k), (4, size(g, 6, 12), 1)]


ALIBI_BIAS = Exercise(
    id="alibi_bias",
    chapter=4,
    title="Attention with linear biases",
    signature="alibi_bias(n_heads, t_q, t_k)",
    statement=r"""The plainest way to say that far is far: lower every score in proportion to the distance. ALiBi gives
head $h = 1 \ldots H$ the slope $2^{-8h/H}$, and adds to the score of query $i$ with key $j$

$$-\,2^{-8h/H} \cdot |\,i + T_k - T_q - j\,|$$

- The result is a float32 tensor `[n_heads, t_q, t_k]`.
- As with the causal mask, the last query stands at the last key: with `t_q=2` and `t_k=5` the queries are positions 3
  and 4. It also has to work for more queries than keys.
- The formula for the slopes holds for **any** number of heads.
- It is a bias and no mask: nothing in it is infinite, and keys ahead are treated like keys behind.

Write down head 1 of `alibi_bias(2, 3, 3)` by hand first; its slope is $2^{-4} = 1/16$.""",
    minutes=15,
    difficulty=2,
    concepts=("C21",),
    errata=("E044", "E052"),
    reference=positions.alibi_bias,
    starter=starter("alibi_bias(n_heads, t_q, t_k)", "float32 [H, Tq, Tk]: -slope of the head times distance."),
    read_again="chapter 04, “Lower the scores of what is far”",
    checks=(
        check_values(
            "values", 3, "Write down one head of three tokens by hand, one row for each query.",
            lambda g: [(heads(g, 2, 4, 16), n, n) for n in (size(g, 3, 5), size(g, 6, 9))], alibi_by_loop,
        ),
        check_values(
            "more_keys", 2, "Draw t_q=2, t_k=5. Where does the last query stand? And the one before?",
            alibi_more_keys, alibi_by_loop, needs=("values",),
        ),
        check_values(
            "more_queries", 1, "Draw t_q=5, t_k=2. The last query still stands at the last key.",
            alibi_more_queries, alibi_by_loop, needs=("values",),
        ),
        check_values(
            "any_heads", 1, "The formula for the slopes also holds for 3 heads, for 6, or for one.",
            lambda g: [(heads(g, 3, 5, 6), n, n) for n in (size(g, 3, 5), size(g, 6, 9))] + [(1, 4, 4), (12, 2, 2)],
            alibi_by_loop, needs=("values",),
        ),
        Check(
            "in_use", 2, "Added to the scores, your bias gives other weights than it should.",
            to_attend, attend_with_bias, expect_attention_with_bias, needs=("values", "more_keys"),
        ),
        check_values(
            "edges", 1, "Think of a single token, and of long sequences.",
            lambda g: [(heads(g, 2, 4, 8), 1, 1), (2, 1, size(g, 200, 400)), (4, size(g, 40, 60), 3)], alibi_by_loop,
            needs=("values", "more_keys", "more_queries"),
        ),
    ),
    misconceptions=(
        Misconception(
            "rewards_distance", biased(sign=1),
            "Your bias is positive: far keys get a higher score than near ones.",
        ),
        Misconception(
            "signed", biased(distance=lambda i, j, t_q, t_k: i + t_k - t_q - j),
            "Keys ahead of the query are rewarded: a distance has no sign.",
        ),
        Misconception(
            "top_left", biased(distance=lambda i, j, t_q, t_k: (i - j).abs()),
            "You align the first query with the first key. It is the last ones that stand at the same position.",
        ),
        Misconception(
            "other_way", biased(distance=lambda i, j, t_q, t_k: (i + t_q - t_k - j).abs()),
            "The queries are shifted the wrong way: with more keys than queries, these stand at the *end*.",
        ),
        Misconception(
            "heads_from_zero", biased(lambda h, n_heads: 2 ** (-8 * (h - 1) / n_heads)),
            "Your first head has the slope 1. Heads are counted from 1.",
        ),
        Misconception(
            "halving", biased(lambda h, n_heads: 2.0**-h),
            "Your slopes are 1/2, 1/4, 1/8 …: right for 8 heads, and for no other number.",
        ),
        Misconception(
            "one_slope", biased(lambda h, n_heads: 2 ** (-8 / n_heads) + 0 * h),
            "All heads have the same slope. What would they be good for?",
        ),
        Misconception(
            "reversed", biased(lambda h, n_heads: 2 ** (-8 * (n_heads + 1 - h) / n_heads)),
            "Your heads stand in reverse: the first one has the steepest slope.",
        ),
        Misconception(
            "papers_code", biased(slopes_of_the_papers_code),
            "These are the slopes of the authors’ code, which treats numbers of heads that are no power of two in "
            "another way. The formula above holds for all.",
        ),
        Misconception(
            "squared", biased(distance=lambda i, j, t_q, t_k: (i + t_k - t_q - j) ** 2),
            "Your penalty grows with the square of the distance. The L of ALiBi stands for linear.",
        ),
        Misconception(
            "masks", alibi_that_masks,
            "You forbid what is ahead. That is the mask’s business, a separate argument; the bias only weighs.",
        ),
        Misconception(
            "behind_only", biased(distance=lambda i, j, t_q, t_k: (i + t_k - t_q - j).clamp(min=0)),
            "Keys ahead get no penalty at all. Under a causal mask that is invisible; in an encoder it is not.",
        ),
        Misconception(
            "transposed", lambda n_heads, t_q, t_k: biased()(n_heads, t_q, t_k).mT,
            "Your rows are keys and your columns queries.",
        ),
        Misconception(
            "heads_last", lambda n_heads, t_q, t_k: biased()(n_heads, t_q, t_k).permute(1, 2, 0),
            "Your heads are the last axis. They should be the first.",
        ),
        Misconception(
            "batch_axis", lambda n_heads, t_q, t_k: biased()(n_heads, t_q, t_k)[None],
            "Your result has an axis too many in front. [H, Tq, Tk] broadcasts to a batch by itself.",
        ),
        Misconception(
            "double", lambda n_heads, t_q, t_k: biased()(n_heads, t_q, t_k).double(),
            "The values are right, but the result is float64. PyTorch’s attention wants the dtype of the queries.",
        ),
    ),
    alternatives=(alibi_by_cdist, alibi_by_cutting_out, lambda h, q, k: alibi_by_loop(h, q, k)),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_04(x):
    """Tokens x [B, T, D] plus positions, with the formula of document 001 (§3.3) and the table of its code (§4)."""
    length, d_model = x.shape[1], x.shape[2]
    position = torch.arange(length)  # "assign each position a unique index"
    angle = position / 10000 ** (2 / d_model)  # "define a unary function"
    table = torch.sin(angle) + torch.cos(angle)  # "map it to a vector"
    table = table[:1].expand(1, d_model)  # torch.zeros(1, output_dim)
    return x + table'''


def with_positions(x):
    """Tokens plus sinusoidal positions (Vaswani et al. 2017, §3.5): [B, T, D] -> [B, T, D]."""
    return x + positions.sinusoidal_encoding(x.shape[1], x.shape[2])


def with_positions_by_loop(x: Tensor) -> Tensor:
    return torch.stack([sentence + table_by_loop(*sentence.shape) for sentence in x])


def tell_apart(submission, inputs):
    """The same token everywhere: how far apart are the vectors of any two positions?"""
    d_model, t = inputs["token"].shape[0], inputs["length"]
    vectors = submission(inputs["token"].expand(1, t, d_model).clone())[0]
    squares = ((vectors[:, None] - vectors[None]) ** 2).sum(-1)
    return {"squared distances of the same token at all positions": squares}


def expect_apart(inputs: dict) -> dict:
    """2 - 2 cos of the angle between them, for each pair of columns: never 0 for two positions."""
    d, t = inputs["token"].shape[0], inputs["length"]
    distance = torch.arange(t)[:, None] - torch.arange(t)
    squares = sum(2 - 2 * torch.cos(distance.double() / 10000 ** (2 * i / d)) for i in range(d // 2))
    return {"squared distances of the same token at all positions": squares.float()}


def placed(encode):
    return lambda x: x + encode(x.shape[1], x.shape[2])


def placed_in_place(x):
    x += sinusoids()(x.shape[1], x.shape[2])
    return x


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_04",
    chapter=4,
    title="Spot the bug: document 001’s positions",
    signature="spot_the_bug_04(x)",
    statement=r"""Document 001 (§3.3) gives a formula for positions, and its code (§4) a table of shape
`(1, output_dim)`. The function below follows both to the letter. **Three lines are wrong:
repair them**, so that it adds sinusoidal positions to the tokens `x [B, T, D]`, as Vaswani et al. 2017, §3.5, do:

$$\mathrm{PE}(pos, 2i) = \sin\!\left(\frac{pos}{10000^{2i/D}}\right), \qquad
\mathrm{PE}(pos, 2i+1) = \cos\!\left(\frac{pos}{10000^{2i/D}}\right)$$

`D` is even. Before you begin: run it on `torch.zeros(1, 5, 4)`. How many different rows does the result have? What if
only the line with `[:1]` goes? You may use your `sinusoidal_encoding`, or repair it in place.""",
    minutes=15,
    difficulty=2,
    concepts=("C18", "C19", "C20"),
    errata=("E048", "E049", "E055"),
    reference=with_positions,
    starter=BROKEN,
    read_again="chapter 04, “What the documents say”",
    requires=("sinusoidal_encoding",),
    checks=(
        check_values(
            "values", 3, "Go from the bottom up: which shape must the table have, and which number stands in its row "
            "1, column 2?",
            lambda g: [(normal(g, 2, 5, 8),), (normal(g, 3, 7, 6),)], with_positions_by_loop, atol=1e-4,
        ),
        Check(
            "apart", 2,
            "The same word at two positions should give two different vectors, and how far apart they are should "
            "depend on the distance.",
            lambda seed: {"token": normal(generator(seed), 16), "length": size(generator(seed + 1), 20, 60)},
            tell_apart, expect_apart, atol=2e-3,
        ),
        check_gradients(
            "gradients", 1, "Stay with torch operations on x.",
            lambda g: [(normal(g, 2, 3, 4),)], with_positions_by_loop, needs=("values",),
        ),
        check_values(
            "edges", 1, "Think of a single token, of a single pair of columns, and of many sentences.",
            lambda g: [(normal(g, 1, 1, 4),), (normal(g, 2, 9, 2),), (normal(g, 7, 3, 4),)], with_positions_by_loop,
            needs=("values",), atol=1e-4,
        ),
    ),
    misconceptions=(
        Misconception(
            "only_the_shape", placed(one_number),
            "Every position has a row now, but all its columns hold the same number, and positions that are "
            "2π·10000^(2/D) apart collide. Two lines are still wrong.",
        ),
        Misconception(
            "only_the_sum", placed(sinusoids(lambda i, d: 2 / d + 0 * i)),
            "Sines and cosines take turns, but all pairs have the same frequency: the exponent still lacks i.",
        ),
        Misconception(
            "only_the_exponent",
            placed(sinusoids(arrange=lambda s, c: torch.stack([s + c, s + c], -1).flatten(1))),
            "The frequencies are right. Sine and cosine are still added up, where each should have a column of its "
            "own.",
        ),
        Misconception(
            "one_row", placed(lambda t, d: sinusoids()(1, d)),
            "The formula is right, but your table still has one row: all tokens are told that they stand at position "
            "0.",
        ),
        Misconception(
            "halves", placed(sinusoids(arrange=lambda s, c: torch.cat([s, c], -1))),
            "Your sines fill the first half of the columns. They should take turns with the cosines.",
        ),
        Misconception(
            "cosine_first", placed(sinusoids(first=torch.cos, second=torch.sin)),
            "Sines and cosines have changed places.",
        ),
        Misconception(
            "each_column", placed(sinusoids_by_column),
            "Every column has a frequency of its own. The two of a pair share theirs.",
        ),
        Misconception(
            "half_exponent", placed(sinusoids(lambda i, d: i / d)),
            "Your exponent is i/D. It should be 2i/D, with i counting the pairs.",
        ),
        Misconception(
            "by_sentence", lambda x: x + sinusoids()(len(x), x.shape[2])[:, None],
            "Your rows follow the sentences of the batch and not the tokens.",
        ),
        Misconception(
            "multiplied", lambda x: x * sinusoids()(x.shape[1], x.shape[2]),
            "Positions are added to the tokens, not multiplied with them.",
        ),
        Misconception(
            "positions_only", lambda x: sinusoids()(x.shape[1], x.shape[2]).expand(x.shape),
            "Your result holds the positions and has lost the tokens.",
        ),
        Misconception(
            "in_place", placed_in_place,
            "Operators like += write into the caller’s tensor. Make a new one.",
        ),
    ),
    alternatives=(placed(sinusoids_by_phase), with_positions_by_loop, placed(sinusoids_by_turning)),
)  # fmt: skip

EXERCISES = (SINUSOIDAL_ENCODING, LEARNED_POSITIONS, APPLY_ROTARY, ALIBI_BIAS, SPOT_THE_BUG)
