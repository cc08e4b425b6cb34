"""Chapter 11: looking inside. The order in this module is that of chapter 03, the pattern."""

import math

import torch
from torch import Tensor

from course_lib import evaluation, interpretation
from course_lib.exercises.chapter_03 import size, starter
from course_lib.grading.exercise import Check, Exercise, Misconception
from course_lib.grading.observe import check_values, generator, normal

# --- alignment_error_rate ---------------------------------------------------------------------------------------------


def error_by_counting(predicted: set, gold: set) -> float:
    """Link by link: each link of either side that the other has is no error."""
    errors = sum(link not in gold for link in predicted) + sum(link not in predicted for link in gold)
    return errors / (len(predicted) + len(gold)) if errors else 0.0


def error_by_f1(predicted: set, gold: set) -> float:
    hits = len(predicted.intersection(gold))
    if not hits:
        return float(bool(predicted or gold))
    precision, recall = hits / len(predicted), hits / len(gold)
    return 1 - 2 * precision * recall / (precision + recall)


def error_by_lists(predicted, gold):
    links, others = sorted(predicted), sorted(gold)
    shared = [link for link in links if link in others]
    return 0.0 if not links + others else 1 - len(shared) * 2 / len(links + others)


def links_of(g: torch.Generator, n: int, low: int, high: int) -> list[tuple[int, int]]:
    """n pairs of two different numbers from low to high - 1, none the mirror of another."""
    squares = [(i, j) for i in range(low, high) for j in range(i + 1, high)]
    chosen = torch.randperm(len(squares), generator=g)[:n].tolist()
    turned = torch.rand(n, generator=g) < 0.5
    return [squares[c] if turn else squares[c][::-1] for c, turn in zip(chosen, turned.tolist())]


def overlapping(g: torch.Generator, shared: int, predicted: int, gold: int) -> tuple[set, set]:
    """Two sets of links with so many in both, only in the first and only in the second."""
    links = links_of(g, shared + predicted + gold, 0, 12)
    return set(links[: shared + predicted]), set(links[:shared] + links[shared + predicted :])


def mirrored(g: torch.Generator) -> list[tuple[set, set]]:
    """Links whose mirror images are in the other set: (2, 5) is not (5, 2)."""
    links = links_of(g, 7, 0, 9)
    turned = {(j, i) for i, j in links[2:5]}
    return [(set(links[:5]), set(links[:2]) | turned | {links[6]}), (turned, set(links[2:5]))]


def many_to_many(g: torch.Generator) -> list[tuple[set, set]]:
    """One source word with several target words, and the other way round."""
    s, t = size(g, 0, 9), size(g, 0, 9)
    row, column = {(s, j) for j in range(5)}, {(i, t) for i in range(4)}
    return [(row, {(s, j) for j in range(2, 5)}), (column, {(i, t) for i in range(1, 4)}), (row | column, column)]


def extremes(g: torch.Generator) -> list[tuple[set, set]]:
    links = links_of(g, 6, 0, 9)
    return [
        (set(links), set(links)), (set(links[:4]), set(links[4:])), (set(), set(links[:3])), (set(links[:2]), set()),
        (set(), set()), (set(links[:1]), set(links)),
    ]  # fmt: skip


def rate(formula, empty=0.0):
    """A rate from the two sets, with `empty` where both are."""
    return lambda predicted, gold: formula(predicted, gold) if predicted or gold else empty


def over(part: float, whole: float) -> float:
    """A fraction; 0 where there is nothing to divide by."""
    return part / whole if whole else 0.0


def error_in_place(predicted: set, gold: set) -> float:
    total = len(predicted) + len(gold)
    predicted &= gold
    return 1 - 2 * len(predicted) / total if total else 0.0


def undirected(links: set) -> set:
    return {tuple(sorted(link)) for link in links}


def last_link(links: set) -> set:
    """What a dict from target to source keeps."""
    return {(i, j) for j, i in {j: i for i, j in sorted(links)}.items()}


def one_per_source(links: set) -> set:
    return set({i: j for i, j in sorted(links)}.items())


def error_of(change):
    return lambda predicted, gold: error_by_counting(change(predicted), change(gold))


ALIGNMENT_ERROR_RATE = Exercise(
    id="alignment_error_rate",
    chapter=11,
    title="The alignment error rate",
    signature="alignment_error_rate(predicted, gold)",
    statement=r"""How far are the links that a head draws from the links that the grammar knows?

$$\mathrm{AER} = 1 - \frac{2\,|P \cap G|}{|P| + |G|}$$

- `predicted` (P) and `gold` (G) are Python sets of pairs `(source, target)` of word numbers.
- A link is right if *both* numbers are. A word may have several links, or none.
- The result is a `float` from 0 (the same links) to 1 (none in common). **Two empty sets give 0.0.**

By hand first: P = {(0, 0), (1, 2)} and G = {(0, 0), (1, 1), (2, 2)} give 1 − 2·1/5 = 0.6.""",
    minutes=10,
    difficulty=1,
    concepts=("C53", "C70"),
    errata=(),
    reference=evaluation.alignment_error_rate,
    starter=starter(
        "alignment_error_rate(predicted, gold)",
        "From 0 (the same links) to 1 (none in common), a float; two empty sets give 0.0.",
    ),
    read_again="chapter 11, “By hand”",
    checks=(
        check_values(
            "values", 3, "Count three things: the links of P, those of G, and those in both. Then the formula.",
            lambda g: [overlapping(g, *sizes) for sizes in ((3, 2, 4), (5, 4, 1), (1, 0, 6), (4, 0, 0))],
            error_by_counting,
        ),
        check_values(
            "direction", 2, "(2, 5) says source 2, target 5. What does (5, 2) say?",
            mirrored, error_by_counting, needs=("values",),
        ),
        check_values(
            "several_links", 2, "A word may have several links, and each counts.",
            many_to_many, error_by_counting,
        ),
        check_values(
            "extremes", 2, "Think of equal sets, of sets without a common link, and of one or both being empty.",
            extremes, error_by_counting,
        ),
        check_values(
            "float", 1, "The result is one Python number, for large sets as well.",
            lambda g: [overlapping(g, 20, 13, 17), overlapping(g, 10, 30, 5)], error_by_counting,
        ),
    ),
    misconceptions=(
        Misconception(
            "only_precision", rate(lambda p, g: 1 - over(len(p & g), len(p))),
            "You divide by the predicted links alone: a head that draws one safe link would be perfect.",
        ),
        Misconception(
            "only_recall", rate(lambda p, g: 1 - over(len(p & g), len(g))),
            "You divide by the gold links alone: a head that links everything with everything would be perfect.",
        ),
        Misconception(
            "union", rate(lambda p, g: 1 - over(len(p & g), len(p | g))),
            "You divide by the size of the union. The formula adds the two sizes, and counts what is common twice.",
        ),
        Misconception(
            "factor_forgotten", rate(lambda p, g: 1 - len(p & g) / (len(p) + len(g))),
            "The common links stand in both sets: they count twice. Yours never comes down to 0.",
        ),
        Misconception(
            "agreement", rate(lambda p, g: 2 * len(p & g) / (len(p) + len(g)), empty=1.0),
            "This is how well they agree. An *error* rate is 0 for the same links.",
        ),
        Misconception(
            "agreement_but_empty", rate(lambda p, g: 2 * len(p & g) / (len(p) + len(g))),
            "This is how well they agree. An *error* rate is 0 for the same links.",
        ),
        Misconception(
            "undirected", error_of(undirected),
            "You take (2, 5) and (5, 2) for the same link. The first number is the source, the second the target.",
        ),
        Misconception(
            "one_side_turned", lambda p, g: error_by_counting({(j, i) for i, j in p}, g),
            "You turn the links of one set round: (2, 5) is compared with (5, 2). In both sets the source comes first.",
        ),
        Misconception(
            "one_link_a_target", error_of(last_link),
            "You keep one link for each target word. It may have several.",
        ),
        Misconception(
            "one_link_a_source", error_of(one_per_source),
            "You keep one link for each source word. It may have several.",
        ),
        Misconception(
            "only_sources", error_of(lambda links: {i for i, _ in links}),
            "You compare the source words alone. A link is right if both of its ends are.",
        ),
        Misconception(
            "only_targets", error_of(lambda links: {j for _, j in links}),
            "You compare the target words alone. A link is right if both of its ends are.",
        ),
        Misconception(
            "counted", rate(lambda p, g: float(len(p ^ g))),
            "You count the wrong links. A rate is divided by how many there are.",
        ),
        Misconception(
            "percent", rate(lambda p, g: 100 * error_by_counting(p, g)),
            "You give per cent. The rate is between 0 and 1.",
        ),
        Misconception(
            "empty_is_wrong", rate(error_by_counting, empty=1.0),
            "Two empty sets are the same set. What is the error then?",
        ),
        Misconception(
            "empty_divides", lambda p, g: 1 - 2 * len(p & g) / (len(p) + len(g)),
            "Two empty sets: you divide by 0.",
        ),
        Misconception(
            "one_empty", lambda p, g: error_by_counting(p, g) if p and g else 0.0,
            "One of the two sets is empty, and the other is not: every link of the other is wrong.",
        ),
        Misconception(
            "whole_numbers", rate(lambda p, g: 1 - 2 * len(p & g) // (len(p) + len(g))),
            "`//` throws the fraction away.",
        ),
        Misconception(
            "rounded", rate(lambda p, g: round(error_by_counting(p, g), 2)),
            "You round. Leave that to whoever prints the number.",
        ),
        Misconception(
            "tensor", lambda p, g: torch.tensor(error_by_counting(p, g)),
            "You return a tensor. A Python float is asked for.",
        ),
        Misconception(
            "in_place", error_in_place,
            "`&=` and its like change the caller's set. Make a new one.",
        ),
    ),
    alternatives=(error_by_counting, error_by_f1, error_by_lists),
)  # fmt: skip

# --- attention_rollout ------------------------------------------------------------------------------------------------


def rollout_by_loops(maps: list[Tensor]) -> Tensor:
    """Number by number, from the last layer down: row i asks whom it reads, and they ask whom they have read."""

    def mixed(weights: Tensor) -> list[list[float]]:
        h, t, _ = weights.shape
        rows = weights.double().tolist()
        table = [[sum(rows[n][i][j] for n in range(h)) / h + (i == j) for j in range(t)] for i in range(t)]
        return [[x / math.fsum(row) for x in row] for row in table]

    t = maps[0].shape[-1]
    flow = [[float(i == j) for j in range(t)] for i in range(t)]
    for weights in reversed(maps):
        step = mixed(weights)
        flow = [[math.fsum(row[k] * step[k][j] for k in range(t)) for j in range(t)] for row in flow]
    return torch.tensor(flow, dtype=maps[0].dtype)


def layers_of_maps(g: torch.Generator, n: int, h: int, t: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Attention maps far from uniform, so that every mistake shows."""
    return [(2 * normal(g, h, t, t, dtype=dtype)).softmax(-1) for _ in range(n)]


def causal_maps(g: torch.Generator, n: int, h: int, t: int) -> list[Tensor]:
    hidden = torch.ones(t, t).tril() == 0
    return [(2 * normal(g, h, t, t)).masked_fill(hidden, -torch.inf).softmax(-1) for _ in range(n)]


def maps_with_empty_rows(g: torch.Generator, h: int, t: int) -> list[Tensor]:
    """A query that may attend to nothing: in one layer with no head, in the other not with head 0."""
    first, second = layers_of_maps(g, 2, h, t)
    first[:, size(g, 0, t - 1)] = 0.0
    second[0, size(g, 0, t - 1)] = 0.0
    return [first, second]


def flow_properties(submission, inputs):
    """What must hold of a rollout, whatever its numbers."""
    found = []
    for maps, copied in zip(inputs["causal"], inputs["copied"]):
        result = submission(maps)
        found.append(
            {
                "the sums of the rows": result.sum(-1),
                "is anything taken from a later token?": bool((result.triu(1) != 0).any()),
                "the rollout of layers that only copy": submission(copied),
            }
        )
    return found


def property_inputs(seed: int) -> dict:
    g = generator(seed)
    return {
        "causal": [causal_maps(g, 3, 2, 5), causal_maps(g, 2, 4, 6)],
        "copied": [[torch.eye(5).repeat(2, 1, 1)] * 3, [torch.eye(6).repeat(4, 1, 1)] * 2],
    }


def expect_properties(inputs: dict) -> list:
    return [
        {
            "the sums of the rows": torch.ones(len(copied[0][0])),
            "is anything taken from a later token?": False,
            "the rollout of layers that only copy": torch.eye(len(copied[0][0])),
        }
        for copied in inputs["copied"]
    ]


def rollout_edges(g: torch.Generator) -> list[tuple]:
    return [
        (layers_of_maps(g, 2, 3, 1),), (layers_of_maps(g, 2, 1, 4),), (layers_of_maps(g, 3, 2, 5, torch.float64),),
        (layers_of_maps(g, 12, 4, 7),),
    ]  # fmt: skip


def normalised(x: Tensor) -> Tensor:
    return x / x.sum(-1, keepdim=True)


def wrong_rollout(
    average=lambda weights: weights.mean(0),
    add=lambda a: normalised(a + torch.eye(a.shape[-1], dtype=a.dtype)),
    multiply=lambda rollout, layer: layer @ rollout,
    finish=lambda rollout: rollout,
):
    """The rollout in four steps, some replaced by wrong ones."""

    def rollout(maps):
        layers = [add(average(weights)) for weights in maps]
        result = layers[0]
        for layer in layers[1:]:
            result = multiply(result, layer)
        return finish(result)

    return rollout


def identity_once(maps: list[Tensor]) -> Tensor:
    product = wrong_rollout(add=lambda a: a)(maps)
    return normalised(product + torch.eye(product.shape[-1], dtype=product.dtype))


def heads_first(maps: list[Tensor]) -> Tensor:
    """Each head rolled out for itself through all layers, and the average at the end."""
    result = None
    for weights in maps:
        layer = normalised(weights + torch.eye(weights.shape[-1], dtype=weights.dtype))  # [H, T, T]
        result = layer if result is None else layer @ result
    return result.mean(0)


def normalised_by_head(weights: Tensor) -> Tensor:
    return normalised(weights + torch.eye(weights.shape[-1], dtype=weights.dtype)).mean(0)


def rollout_in_place(maps: list[Tensor]) -> Tensor:
    for weights in maps:
        weights += torch.eye(weights.shape[-1], dtype=weights.dtype)
    return wrong_rollout(add=normalised)(maps)


def list_used_up(maps: list[Tensor]) -> Tensor:
    result = wrong_rollout()([maps.pop(0)])
    while maps:
        result = wrong_rollout()([maps.pop(0)]) @ result
    return result


def rollout_by_einsum(maps):
    flow = torch.eye(maps[-1].shape[-1], dtype=maps[-1].dtype)
    for weights in maps[::-1]:
        step = torch.einsum("hij->ij", weights) / len(weights)
        step.diagonal().add_(1)
        flow = torch.einsum("ik,kj->ij", flow, torch.einsum("ij,i->ij", step, 1 / step.sum(1)))
    return flow


def rollout_of_rows(maps):
    """Each row pushed down through the layers by itself."""
    rows = []
    for start in torch.eye(maps[0].shape[-1], dtype=maps[0].dtype):
        for weights in reversed(maps):
            mixed = weights.sum(0) / weights.shape[0] + torch.diag(torch.ones_like(start))
            start = start @ (mixed / mixed.sum(dim=1, keepdim=True))
        rows.append(start)
    return torch.stack(rows)


ATTENTION_ROLLOUT = Exercise(
    id="attention_rollout",
    chapter=11,
    title="Attention rollout",
    signature="attention_rollout(maps)",
    statement=r"""Which words of the input have reached output $i$, over all layers? Write the rollout of Abnar and
Zuidema 2020:

$$\tilde A_\ell = \text{rows of } \Big(\tfrac1H \sum_h A_{\ell,h} + I\Big) \text{ divided by their sums},
\qquad R = \tilde A_L \cdots \tilde A_2\, \tilde A_1$$

- `maps` is a list with one tensor `[H, T, T]` for each layer, the **first layer first**; at least one. Its rows are the
  queries; they sum to 1, or to 0 for a query that may attend to nothing.
- In each layer, in this order: the heads are averaged, the identity is added (the residual connection), each row is
  divided by its sum.
- Later layers multiply **from the left**. The result is `[T, T]`, of the dtype of the maps.""",
    minutes=15,
    difficulty=3,
    concepts=("C70",),
    errata=(),
    reference=interpretation.attention_rollout,
    starter=starter(
        "attention_rollout(maps)",
        "How much of each input token is in each output token: [T, T]. maps: a list of [H, T, T], first layer first.",
    ),
    read_again="chapter 11, “By hand”",
    checks=(
        check_values(
            "one_layer", 3, "One layer, nothing to multiply: average, add the identity, divide each row by its sum.",
            lambda g: [(layers_of_maps(g, 1, 3, 5),), (layers_of_maps(g, 1, 2, 4),)], rollout_by_loops,
        ),
        check_values(
            "layers", 4, "Output i reads layer 2 first: row i of Ã₂. What it finds there has read layer 1.",
            lambda g: [(layers_of_maps(g, 2, 3, 4),), (layers_of_maps(g, 3, 2, 5),)], rollout_by_loops,
            needs=("one_layer",),
        ),
        Check(
            "properties", 2, "Rows sum to 1, nothing comes from a token that no layer could see, copying copies.",
            property_inputs, flow_properties, expect_properties, needs=("one_layer",),
        ),
        check_values(
            "empty_rows", 2, "A query that may attend to nothing has a row of zeros. Average, add, divide, in order.",
            lambda g: [(maps_with_empty_rows(g, 3, 4),), (maps_with_empty_rows(g, 2, 5),)], rollout_by_loops,
            needs=("layers",),
        ),
        check_values(
            "edges", 1, "Think of a single token, a single head, twelve layers, and float64.",
            rollout_edges, rollout_by_loops, needs=("layers",),
        ),
    ),
    misconceptions=(
        Misconception(
            "from_the_right", wrong_rollout(multiply=lambda rollout, layer: rollout @ layer),
            "You multiply later layers from the right. Output i reads the *last* layer first: it stands on the left.",
        ),
        Misconception(
            "no_identity", wrong_rollout(add=lambda a: a),
            "The identity is missing: without the residual connection a token would forget itself in every layer.",
        ),
        Misconception(
            "not_divided", wrong_rollout(add=lambda a: a + torch.eye(a.shape[-1], dtype=a.dtype)),
            "The rows are not divided by their sums: they grow by a factor of 2 with each layer.",
        ),
        Misconception(
            "divided_at_the_end",
            wrong_rollout(add=lambda a: a + torch.eye(a.shape[-1], dtype=a.dtype), finish=normalised),
            "You divide once, at the end. Where a row was empty, that is not the same as dividing in each layer.",
        ),
        Misconception(
            "halved", wrong_rollout(add=lambda a: (a + torch.eye(a.shape[-1], dtype=a.dtype)) / 2),
            "You divide by 2. That is the sum of a row only where the query attends to something.",
        ),
        Misconception(
            "columns", wrong_rollout(
                add=lambda a: (a + torch.eye(a.shape[-1], dtype=a.dtype)) / (a.sum(0) + 1)
            ),
            "You divide the columns by their sums. A row is a query: it is the rows that share out 1.",
        ),
        Misconception(
            "divided_by_everything", wrong_rollout(
                add=lambda a: (a + torch.eye(a.shape[-1], dtype=a.dtype)) / (a.sum() + a.shape[-1])
            ),
            "You divide by the sum of the whole table. Each row has a sum of its own.",
        ),
        Misconception(
            "softmax", wrong_rollout(add=lambda a: (a + torch.eye(a.shape[-1], dtype=a.dtype)).softmax(-1)),
            "You take a softmax of weights. Divide each row by its sum.",
        ),
        Misconception(
            "summed_heads", wrong_rollout(average=lambda weights: weights.sum(0)),
            "You add the heads up. With the average, attention and the residual weigh the same.",
        ),
        Misconception(
            "largest_head", wrong_rollout(average=lambda weights: weights.amax(0)),
            "You take the largest of the heads. Their average is asked for.",
        ),
        Misconception(
            "first_head", wrong_rollout(average=lambda weights: weights[0]),
            "You take head 0 alone.",
        ),
        Misconception(
            "heads_apart", heads_first,
            "You roll out each head by itself. A layer's heads are mixed before the next layer reads.",
        ),
        Misconception(
            "each_head_divided", wrong_rollout(normalised_by_head, lambda a: a),
            "You divide in each head and average then. Where one head's row is empty, that differs.",
        ),
        Misconception(
            "identity_once", identity_once,
            "You add the identity to the product. Every layer has a residual connection.",
        ),
        Misconception(
            "last_layer", lambda maps: wrong_rollout()(maps[-1:]),
            "This is the last layer alone.",
        ),
        Misconception(
            "first_layer", lambda maps: wrong_rollout()(maps[:1]),
            "This is the first layer alone.",
        ),
        Misconception(
            "mean_of_layers", lambda maps: torch.stack([wrong_rollout()([a]) for a in maps]).mean(0),
            "You average the layers. A later layer reads what an earlier one has written: that is a product.",
        ),
        Misconception(
            "number_by_number", wrong_rollout(multiply=lambda rollout, layer: layer * rollout),
            "`*` multiplies number by number. Paths over a layer in between are summed up by the matrix product.",
        ),
        Misconception(
            "transposed", wrong_rollout(finish=lambda rollout: rollout.T),
            "Your result is transposed: row i is to say where *output* i comes from.",
        ),
        Misconception(
            "float32", lambda maps: wrong_rollout()([weights.float() for weights in maps]),
            "The values are right, but the dtype is not that of the maps.",
        ),
        Misconception(
            "in_place", rollout_in_place,
            "Operators like += write into the caller's maps. Make new ones.",
        ),
        Misconception(
            "list_used_up", list_used_up,
            "You take the maps out of the caller's list. It must be as before.",
        ),
    ),
    alternatives=(rollout_by_loops, rollout_by_einsum, rollout_of_rows),
)  # fmt: skip

# --- occlusion --------------------------------------------------------------------------------------------------------


def ask_occlusion(submission, inputs):
    """Let the submission explain scores that depend on every word, on its neighbour, and on the place of the last."""
    found = []
    for ids in inputs["sentences"]:

        def score(words):
            if not isinstance(words, list):
                raise TypeError(f"score takes a list of tokens, got {type(words).__name__}")
            pairs = zip([0, *words], words)
            total = sum(inputs["alone"][w] + inputs["after"][v][w] for v, w in pairs)
            return total + inputs["length"] * len(words) ** 2

        given = list(ids)
        found.append({"result": submission(score, given), "ids afterwards": given})
    return found


def expect_occlusion(inputs: dict) -> list:
    """Only the neighbourhood of a word changes when it goes."""
    alone, after, found = inputs["alone"], inputs["after"], []
    for ids in inputs["sentences"]:
        padded, n = [0, *ids], len(ids)
        worth = []
        for place in range(n):
            left, word = padded[place], ids[place]
            change = alone[word] + after[left][word]
            if place + 1 < n:
                right = ids[place + 1]
                change += after[word][right] - after[left][right]
            worth.append(change + inputs["length"] * (n * n - (n - 1) ** 2))
        found.append({"result": worth, "ids afterwards": list(ids)})
    return found


def sentences(*kinds: str, neighbours: float = 1.0):
    """Inputs: "plain" words are all different, "repeated" have the same word more than once."""

    def inputs(seed: int) -> dict:
        g, found = generator(seed), []
        for n, kind in enumerate(kinds):
            different = (1 + torch.randperm(9, generator=g)).tolist()
            if kind == "plain":
                found.append(different[: 4 + n])
            elif kind == "repeated":
                a, b, c = different[:3]
                found.append([a, b, a, c, a, b][: 5 + n % 2])
            else:
                found.append(different[: {"empty": 0, "one": 1, "two": 2}[kind]])
        return {
            "sentences": found,
            "alone": (2 * normal(g, 11)).double().tolist(),
            "after": (neighbours * normal(g, 11, 11)).double().tolist(),
            "length": 0.25 * size(g, 1, 4) if neighbours else 0.0,
        }

    return inputs


def occlude(change=lambda ids, p: ids[:p] + ids[p + 1 :], compare=lambda whole, without: whole - without):
    """Occlusion in two steps, one of them replaced by a wrong one."""
    return lambda score, ids: [compare(score(list(ids)), score(change(list(ids), p))) for p in range(len(ids))]


def without_value(ids: list, p: int) -> list:
    return [i for i in ids if i != ids[p]]


def without_first(ids: list, p: int) -> list:
    ids.remove(ids[p])
    return ids


def one_after_another(score, ids: list) -> list:
    left, worth = list(ids), []
    while left:
        before = score(list(left))
        left.pop(0)
        worth.append(before - score(list(left)))
    return worth


def used_up(score, ids: list) -> list:
    worth = one_after_another(score, ids)
    ids.clear()
    return worth


def shared_out(score, ids: list) -> list:
    worth = occlude()(score, ids)
    return [w / sum(worth) for w in worth]


def occlusion_by_filter(score, ids):
    total = score([*ids])
    return [total - score([w for k, w in enumerate(ids) if k != gap]) for gap, _ in enumerate(ids)]


def occlusion_by_deletion(score, ids):
    results = []
    for place in range(len(ids)):
        shorter = ids.copy()
        del shorter[place]
        results.append(-(score(shorter) - score(ids)))
    return results


def occlusion_put_back(score, ids):
    words, results = list(ids), []
    for place in range(len(words)):
        full = score(words)
        word = words.pop(place)
        results.append(full - score(words))
        words.insert(place, word)
    return results


OCCLUSION = Exercise(
    id="occlusion",
    chapter=11,
    title="Leave a word out",
    signature="occlusion(score, ids)",
    statement="""\
What is each word worth to a model's answer? Leave it out, and see how the score changes: an experiment, where reading
attention weights is only looking.

- `score` is a function. It takes a **list** of tokens and gives a `float`: the log-probability of a translation, say.
  It is defined for every list, the empty one included.
- `ids` is a list of integers; the same integer may stand in it more than once.
- Return a list with one `float` for each position, in order: the score of the whole list **minus** the score of the
  list without the token *at this position* (the others move together). A word that helps gets a positive number.

`ids` must be as before when you are done. For an empty list the result is an empty list.""",
    minutes=10,
    difficulty=2,
    concepts=("C70",),
    errata=(),
    reference=interpretation.occlusion,
    starter=starter(
        "occlusion(score, ids)",
        "For each position: score of all tokens minus score without this one. A list of floats.",
    ),
    read_again="chapter 11, “By hand”",
    checks=(
        Check(
            "values", 3, "Write down the two lists that you score for position 1 of [7, 8, 9].",
            sentences("plain", "plain"), ask_occlusion, expect_occlusion,
        ),
        Check(
            "repeated", 3, "A word stands in the list more than once. It is the *position* that is left out.",
            sentences("repeated", "repeated"), ask_occlusion, expect_occlusion, needs=("values",),
        ),
        Check(
            "additive", 2, "Each word adds its own number to this score, whatever stands beside it. So what comes out?",
            sentences("plain", "repeated", neighbours=0.0), ask_occlusion, expect_occlusion,
        ),
        Check(
            "edges", 1, "Think of a list of one or two tokens, and of none.",
            sentences("one", "two", "empty"), ask_occlusion, expect_occlusion,
        ),
    ),
    misconceptions=(
        Misconception(
            "sign", occlude(compare=lambda whole, without: without - whole),
            "The sign is wrong: a word that helps gets a positive number.",
        ),
        Misconception(
            "absolute", occlude(compare=lambda whole, without: abs(whole - without)),
            "You take the absolute value. A word may also do harm, and then its number is negative.",
        ),
        Misconception(
            "score_without", occlude(compare=lambda whole, without: without),
            "These are the scores without each token. How much has changed?",
        ),
        Misconception(
            "ratio", occlude(compare=lambda whole, without: whole / without),
            "You divide the scores. The difference is asked for.",
        ),
        Misconception(
            "relative", occlude(compare=lambda whole, without: (whole - without) / whole),
            "You divide by the whole score. The difference is asked for.",
        ),
        Misconception(
            "shared_out", shared_out,
            "You divide so that the numbers sum to 1. The differences themselves are asked for.",
        ),
        Misconception(
            "replaced", occlude(lambda ids, p: [*ids[:p], 0, *ids[p + 1 :]]),
            "You put a 0 in the token's place. Here it is left out, and the list becomes shorter.",
        ),
        Misconception(
            "alone", occlude(lambda ids, p: [ids[p]], compare=lambda whole, without: without),
            "You score each token alone. Leave it out, and score the others.",
        ),
        Misconception(
            "cut_off", occlude(lambda ids, p: ids[:p]),
            "You leave out this token and all that follow.",
        ),
        Misconception(
            "only_what_follows", occlude(lambda ids, p: ids[p + 1 :]),
            "You leave out this token and all that stand before it.",
        ),
        Misconception(
            "prefixes", lambda score, ids: [score(ids[: p + 1]) - score(ids[:p]) for p in range(len(ids))],
            "You compare beginnings of the list: each token misses all that follow it.",
        ),
        Misconception(
            "one_after_another", one_after_another,
            "Once left out, a token never comes back in your code. Each position starts from the whole list.",
        ),
        Misconception(
            "by_value", occlude(without_value),
            "You leave out every token with the same value, not the one at this position.",
        ),
        Misconception(
            "first_of_its_kind", occlude(without_first),
            "`remove` and `index` find the *first* token of this value. It is the position that counts.",
        ),
        Misconception(
            "next_one", occlude(lambda ids, p: ids[: p + 1] + ids[p + 2 :]),
            "You leave out the token behind this position.",
        ),
        Misconception(
            "tensor", lambda score, ids: torch.tensor(occlude()(score, ids)),
            "You return a tensor. A list of floats is asked for.",
        ),
        Misconception(
            "used_up", used_up,
            "Your code takes the tokens out of the caller's list.",
        ),
    ),
    alternatives=(occlusion_by_filter, occlusion_by_deletion, occlusion_put_back),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_11(states, memory, w_q, w_k, keep):
    """Who looks at whom, read from one head as document 004 (§4.1) writes it."""
    query = memory @ w_q
    key = memory @ w_k
    weights = query @ key.T / math.sqrt(states.shape[-1])
    links = {(i, weights[i].argmax().item()) for i in range(len(weights))}
    return weights, links'''


def read_alignment(states: Tensor, memory: Tensor, w_q: Tensor, w_k: Tensor, keep: Tensor) -> tuple[Tensor, set]:
    """The weights of one cross-attention head, and the links that they draw.

    Args:
        states: what the decoder knows at each target position [Tt, D].
        memory: what the encoder says of each source position [Ts, D].
        w_q, w_k: the head's projections [D, Dh].
        keep: bool [Ts], True where there is a word, False at padding.

    Returns:
        Weights [Tt, Ts], each row summing to 1, 0 at padding; and for each target position the link (source, target) to
        the source position with the largest weight.
    """
    query, key = states @ w_q, memory @ w_k  # [Tt, Dh], [Ts, Dh]
    scores = query @ key.T / math.sqrt(key.shape[-1])  # [Tt, Ts]
    weights = scores.masked_fill(~keep, -torch.inf).softmax(-1)
    return weights, {(source, target) for target, source in enumerate(weights.argmax(-1).tolist())}


def read_head(submission, inputs):
    """Each case: the weights and the sorted links, and the arguments as they are after the call."""
    found = []
    for arguments in inputs["cases"]:
        result = submission(*arguments)
        if isinstance(result, tuple) and len(result) == 2:
            weights, links = result
            kind = "set" if isinstance(links, frozenset) else type(links).__name__
            if kind == "set":
                links = sorted(links, key=lambda link: (int(link[1]), int(link[0])))
            result = {"weights": weights, "type of links": kind, "links": links}
        found.append({"result": result, "arguments": arguments})
    return found


def expect_head(inputs: dict) -> list:
    """Number by number, in float64."""
    found = []
    for arguments in inputs["cases"]:
        states, memory, w_q, w_k, keep = arguments
        queries, keys = (states.double() @ w_q.double()).tolist(), (memory.double() @ w_k.double()).tolist()
        rows, links = [], []
        for target, q in enumerate(queries):
            scores = [math.fsum(a * b for a, b in zip(q, k)) / math.sqrt(len(k)) for k in keys]
            top = max(score for score, kept in zip(scores, keep.tolist()) if kept)
            powers = [math.exp(score - top) if kept else 0.0 for score, kept in zip(scores, keep.tolist())]
            rows.append([power / math.fsum(powers) for power in powers])
            links.append((powers.index(max(powers)), target))
        weights = torch.tensor(rows, dtype=states.dtype)
        found.append({"result": {"weights": weights, "type of links": "set", "links": links}, "arguments": arguments})
    return found


def head_case(g: torch.Generator, t_t: int, t_s: int, d: int, dh: int, pads: int = 0, dtype=torch.float32) -> tuple:
    """States, memory, projections and keep; the largest scores of all are those of the padding."""
    states, memory = normal(g, t_t, d, dtype=dtype), normal(g, t_s, d, dtype=dtype)
    w_q, w_k = normal(g, d, dh, dtype=dtype) / 2, normal(g, d, dh, dtype=dtype) / 2
    if pads:
        memory[t_s - pads :] *= 4
    return states, memory, w_q, w_k, torch.arange(t_s) < t_s - pads


def head_inputs(*sizes: tuple, pads: int = 0, dtype=torch.float32):
    def inputs(seed: int) -> dict:
        g = generator(seed)
        return {"cases": [head_case(g, *shape, pads, dtype) for shape in sizes]}

    return inputs


def half_repaired(
    ask=lambda states, memory: states,
    tell=lambda states, memory: memory,
    scale=lambda query, states: math.sqrt(query.shape[-1]),
    hide=lambda scores, keep: scores.masked_fill(~keep, -torch.inf),
    normalise=lambda scores: scores.softmax(-1),
    link=lambda weights: {(s, t) for t, s in enumerate(weights.argmax(-1).tolist())},
    give=lambda weights, links: (weights, links),
):
    """The reading with some of its mistakes left in; without arguments it is right."""

    def reading(states, memory, w_q, w_k, keep):
        query, key = ask(states, memory) @ w_q, tell(states, memory) @ w_k
        scores = query @ key.T / scale(query, states)
        weights = normalise(hide(scores, keep))
        return give(weights, link(weights))

    return reading


def unmasked(scores: Tensor, keep: Tensor) -> Tensor:
    return scores


def as_printed(weights: Tensor) -> set:
    return {(i, weights[i].argmax().item()) for i in range(len(weights))}


def best_target(weights: Tensor) -> set:
    return {(s, t) for s, t in enumerate(weights.argmax(0).tolist())}


def all_above(weights: Tensor) -> set:
    return {(s, t) for t, row in enumerate(weights.tolist()) for s, w in enumerate(row) if w > 1 / len(row)}


def hidden_afterwards(states, memory, w_q, w_k, keep):
    weights = (states @ w_q @ (memory @ w_k).T / math.sqrt(w_q.shape[-1])).softmax(-1).masked_fill(~keep, 0.0)
    return weights, {(s, t) for t, s in enumerate(weights.argmax(-1).tolist())}


def reading_without_padding(states, memory, w_q, w_k, keep):
    places = keep.nonzero().flatten()
    scores = torch.einsum("td,de,fe,sf->ts", states, w_q, w_k, memory[places]) * w_k.shape[1] ** -0.5
    weights = states.new_zeros(len(states), len(keep))
    weights[:, places] = torch.softmax(scores, dim=1)
    return weights, {(weights[t].argmax().item(), t) for t in range(len(states))}


def reading_row_by_row(states, memory, w_q, w_k, keep):
    rows, links = [], set()
    for t, state in enumerate(states):
        scores = (memory @ w_k) @ (state @ w_q) / w_q.size(1) ** 0.5
        powers = (scores - scores[keep].max()).exp() * keep
        rows.append(powers / powers.sum())
        links.add((int(rows[-1].argmax()), t))
    return torch.stack(rows), links


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_11",
    chapter=11,
    title="Spot the bug: a head read as document 004 writes it",
    signature="spot_the_bug_11(states, memory, w_q, w_k, keep)",
    statement="""\
To read alignments from a cross-attention head, you first need its weights. This function takes them from document
004, §4.1: the decoder's equations there are a copy of the encoder's (E124), what is called “attention weights” has no
softmax (E121), and masks are mentioned nowhere (E113). Two slips in reading the numbers have been added.

**Repair it**, so that it returns `(weights, links)`:

- `states` `[Tt, D]` is what the decoder knows at each target position, `memory` `[Ts, D]` what the encoder says of each
  source position, `w_q` and `w_k` `[D, Dh]` are the projections of *one* head (no bias), `keep` is bool `[Ts]`, False
  at padding. At least one source position is kept.
- `weights` `[Tt, Ts]` are the head's attention weights: row *t* belongs to target position *t*, sums to 1, and is 0 at
  padding.
- `links` is a set of pairs `(source, target)` of Python integers: one for each target position, to the source position
  with the largest weight.""",
    minutes=15,
    difficulty=3,
    concepts=("C14", "C70"),
    errata=("E113", "E121", "E124"),
    reference=read_alignment,
    starter=BROKEN,
    read_again="chapter 11, “What the documents say”",
    requires=("softmax",),
    library_calls=("scaled_dot_product_attention",),
    checks=(
        Check(
            "values", 4, "Who asks, and who is asked? Check the shape of the weights before anything else.",
            head_inputs((4, 6, 8, 3), (5, 3, 6, 2)), read_head, expect_head,
        ),
        Check(
            "square", 2, "As many target as source positions: now the shape no longer tells rows from columns.",
            head_inputs((5, 5, 6, 4)), read_head, expect_head, needs=("values",),
        ),
        Check(
            "padding", 3, "Padding has large scores here. It gets no weight and no link, and each row still sums to 1.",
            head_inputs((4, 7, 6, 3), (3, 5, 8, 2), pads=2), read_head, expect_head, needs=("values",),
        ),
        Check(
            "edges", 1, "Think of one target position, of a single source word among padding, and of float64.",
            head_inputs((1, 4, 5, 2), (3, 4, 5, 1), pads=3, dtype=torch.float64), read_head, expect_head,
            needs=("padding",),
        ),
    ),
    misconceptions=(
        Misconception(
            "encoder_asks_itself", half_repaired(ask=lambda states, memory: memory),
            "Queries and keys both come from the encoder (E124): this is self-attention, [Ts, Ts]. Who asks in "
            "cross-attention?",
        ),
        Misconception(
            "encoder_asks_as_printed",
            half_repaired(ask=lambda states, memory: memory, hide=unmasked, link=as_printed),
            "The softmax is there. Queries still come from the encoder (E124): who asks in cross-attention?",
        ),
        Misconception(
            "encoder_asks_decoder",
            half_repaired(ask=lambda states, memory: memory, tell=lambda states, memory: states, hide=unmasked),
            "Here the source asks the target. It is the decoder that asks, and the encoder that is asked.",
        ),
        Misconception(
            "decoder_asks_itself", half_repaired(tell=lambda states, memory: states),
            "Queries and keys both come from the decoder. Its keys are the source's words.",
        ),
        Misconception(
            "scores", half_repaired(normalise=lambda scores: scores),
            "These are scores: they may be negative, and their rows do not sum to 1 (E121).",
        ),
        Misconception(
            "scores_linked_as_printed",
            half_repaired(normalise=lambda scores: scores, hide=unmasked, link=as_printed),
            "The decoder asks now. These are still scores (E121), and the links are the wrong way round.",
        ),
        Misconception(
            "softmax_over_targets", half_repaired(normalise=lambda scores: scores.softmax(0)),
            "Your softmax runs over the target positions. Each *row* shares out 1 among the source positions.",
        ),
        Misconception(
            "wide_scale", half_repaired(scale=lambda query, states: math.sqrt(states.shape[-1])),
            "You divide by the root of D, the width of the model. The dot product of one head has Dh terms.",
        ),
        Misconception(
            "wide_scale_linked_as_printed",
            half_repaired(scale=lambda query, states: math.sqrt(states.shape[-1]), hide=unmasked, link=as_printed),
            "The decoder asks, and the weights are a softmax. But you divide by the root of D, the model's width; the "
            "dot product of one head has Dh terms. And your links are (target, source).",
        ),
        Misconception(
            "unscaled", half_repaired(scale=lambda query, states: 1.0),
            "You do not divide by √Dh.",
        ),
        Misconception(
            "padding_seen", half_repaired(hide=unmasked),
            "Padding gets weight and links: nothing is masked (E113). `keep` says where there is a word.",
        ),
        Misconception(
            "hidden_afterwards", hidden_afterwards,
            "You set the weights at padding to 0 after the softmax: the rows no longer sum to 1.",
        ),
        Misconception(
            "mask_turned", half_repaired(hide=lambda scores, keep: scores.masked_fill(keep, -torch.inf)),
            "Your mask is the wrong way round: the words are hidden, and the padding is seen.",
        ),
        Misconception(
            "hidden_with_zero", half_repaired(hide=lambda scores, keep: scores.masked_fill(~keep, 0.0)),
            "You set the scores at padding to 0. That is a score like any other, and gets weight: e⁰ = 1.",
        ),
        Misconception(
            "links_turned", half_repaired(link=as_printed),
            "Your links are (target, source). The source comes first.",
        ),
        Misconception(
            "best_target", half_repaired(link=best_target),
            "You look for the best target of each source word, down the columns. Each *target* position gets one link.",
        ),
        Misconception(
            "above_average", half_repaired(link=all_above),
            "You link every source word above the average. Each target position gets one link.",
        ),
        Misconception(
            "list_of_links", half_repaired(give=lambda weights, links: (weights, sorted(links, key=lambda p: p[1]))),
            "The links are a list. A set is asked for.",
        ),
        Misconception(
            "links_are_positions", half_repaired(give=lambda weights, links: (weights, weights.argmax(-1))),
            "You return the source position of each target position. A set of pairs (source, target) is asked for.",
        ),
        Misconception(
            "only_links", half_repaired(give=lambda weights, links: links),
            "You return the links alone. The weights are asked for, too.",
        ),
        Misconception(
            "only_weights", half_repaired(give=lambda weights, links: weights),
            "You return the weights alone. The links are asked for, too.",
        ),
    ),
    alternatives=(reading_without_padding, reading_row_by_row, half_repaired()),
)  # fmt: skip

EXERCISES = (ALIGNMENT_ERROR_RATE, ATTENTION_ROLLOUT, OCCLUSION, SPOT_THE_BUG)
