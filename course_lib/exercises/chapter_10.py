"""Chapter 10: decoding and measuring. The order in this module is that of chapter 03, the pattern.

A `step` cannot travel to where a submission runs. So the inputs hold tables of logits, and the observer makes a step of
them. Which tables: those of `TELLING`, on which no decision is close and every known misconception goes wrong. Each
seed chooses some of them and gives their tokens other numbers.
"""

import math
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from random import Random

import torch
from torch import Tensor

from course_lib import decoding, evaluation
from course_lib.exercises.chapter_03 import size, starter
from course_lib.grading.exercise import Check, Exercise, Misconception
from course_lib.grading.observe import check_values, generator, normal

V, STATES = 7, 29  # tokens, and states of mind that a prefix may lead to
BOS, EOS = 0, 1  # before they are given other numbers


def table_of(number: int) -> list[list[float]]:
    """Logits for each state: the same for the same number, in every version of everything."""
    random = Random(number)
    return [[6 * random.random() - (9 if token == BOS else 0) for token in range(V)] for _ in range(STATES)]


def next_state(state: int, token: int) -> int:
    return (5 * state + token + 1) % STATES


def searching(submission, inputs):
    """Each case: let the submission search with a step that looks its logits up; it notes nothing, and is strict."""

    def step_from(table, names, bos_id):
        meaning = {name: token for token, name in enumerate(names)}

        def step(ids):
            if not isinstance(ids, list):
                raise TypeError(f"step takes a list of ids, and got {type(ids).__name__}")
            if not ids or int(ids[0]) != bos_id:
                raise ValueError(f"step takes a list that begins with bos_id={bos_id}, and got {ids[:3]}")
            state = 0
            for name in ids[1:]:
                state = (5 * state + meaning[int(name)] + 1) % len(table)
            return table[state].clone()

        return step

    found = []
    for case in inputs["searches"]:
        names = case["names"]
        step = step_from(case["table"], names, names[0])
        found.append({"result": submission(step, names[0], names[1], *case["settings"])})
    return found


def a_search(g: torch.Generator, number: int, *settings) -> dict:
    """One case for `searching`: table `number` with its tokens renamed, and the arguments behind eos_id."""
    names = torch.randperm(V, generator=g).tolist()
    table = torch.tensor(table_of(number))[:, torch.tensor(names).argsort()]  # [STATES, V], columns by name
    return {"table": table + normal(g, STATES, 1), "names": names, "settings": settings}


def looked_up(case: dict) -> Callable[[list[int]], list[float]]:
    """The step of a case in float64 and plain Python: ids without bos -> log p of each token."""
    meaning = {name: token for token, name in enumerate(case["names"])}
    table = case["table"].double().log_softmax(-1).tolist()

    def log_p(ids: list[int]) -> list[float]:
        state = 0
        for name in ids:
            state = next_state(state, meaning[name])
        return table[state]

    return log_p


def searches(search: Callable, inputs: dict) -> list:
    """What `search(log_p, eos_id, *settings)` finds in each case."""
    return [{"result": search(looked_up(case), case["names"][1], *case["settings"])} for case in inputs["searches"]]


# --- greedy_decode ----------------------------------------------------------------------------------------------------


def greedily(log_p: Callable, eos_id: int, max_len: int) -> list[int]:
    ids: list[int] = []
    for _ in range(max_len):
        ids += [max(range(V), key=log_p(ids).__getitem__)]
        if ids[-1] == eos_id:
            return ids
    return ids


@lru_cache
def tables_that_end_after(length: int | None) -> list[int]:
    """Tables on which greedy decoding writes `length` tokens, eos among them; None: not within 20."""
    g = generator(0)
    found = []
    for number in range(400):
        case = a_search(g, number, 20)
        ids = greedily(looked_up(case), case["names"][1], 20)
        if (len(ids) if ids[-1] == case["names"][1] else None) == length and len(set(ids)) > min(2, len(ids) - 1):
            found.append(number)
    return found


def greedy_cases(*lengths_and_limits: tuple[int | None, int]) -> Callable[[int], dict]:
    """Cases in which eos comes after so many tokens (None: never), at a limit of so many."""

    def inputs(seed: int) -> dict:
        g, found = generator(seed), []
        for length, max_len in lengths_and_limits:
            tables = tables_that_end_after(length)
            found.append(a_search(g, tables[size(g, 0, len(tables) - 1)], max_len))
        return {"searches": found}

    return inputs


def wrong_greedy(start=lambda bos: [bos], read=list, pick=lambda logits: int(logits.argmax()),
                 extra=0, ends=True, give=lambda ids, eos: ids[1:]):  # fmt: skip
    """Greedy decoding, some of it replaced by something wrong."""

    def decode(step, bos_id, eos_id, max_len):
        ids = start(bos_id)
        for _ in range(max_len + extra):
            ids.append(pick(step(read(ids))))
            if ends and ids[-1] == eos_id:
                break
        return give(ids, eos_id)

    return decode


def without_eos(ids: list[int], eos: int) -> list[int]:
    return [token for token in ids[1:] if token != eos]


def greedy_all_at_once(step, bos_id, eos_id, max_len):
    return step([bos_id]).argsort(descending=True)[:max_len].tolist()


def greedy_without_end(step, bos_id, eos_id, max_len):
    ids = [bos_id]
    while ids[-1] != eos_id and len(ids) < 60:
        ids.append(int(step(ids).argmax()))
    return ids[1:]


def greedy_by_recursion(step, bos_id, eos_id, max_len):
    def more(ids, left):
        if left == 0 or (len(ids) > 1 and ids[-1] == eos_id):
            return ids
        return more([*ids, step(ids).max(-1).indices.item()], left - 1)

    return more([bos_id], max_len)[1:]


def greedy_by_topk(step, bos_id, eos_id, max_len):
    produced = []
    while len(produced) < max_len and eos_id not in produced:
        produced += step([bos_id, *produced]).log_softmax(-1).topk(1).indices.tolist()
    return produced


GREEDY_DECODE = Exercise(
    id="greedy_decode",
    chapter=10,
    title="Greedy decoding",
    signature="greedy_decode(step, bos_id, eos_id, max_len)",
    statement="""Write a sentence word by word: always the likeliest next token.

`step` is the model. It takes a Python **list of ids that begins with `bos_id`**, and gives the logits of the next
token, a float tensor `[V]`. There are no ties.

- Begin with `[bos_id]`. Ask, append the id with the largest logit, ask again with the longer list.
- Stop when that id is `eos_id`, or when `max_len` tokens have been produced. `eos_id` counts as a produced token;
  `bos_id` does not. `max_len` is at least 1.
- Return the produced ids as a list of Python ints: **without** `bos_id`, **with** `eos_id` if it was reached.

For example, with `max_len=5` a model that writes 7, 4 and then `eos_id` = 2 gives `[7, 4, 2]`; one that never ends
gives five ids.""",
    minutes=10,
    difficulty=1,
    concepts=("C35",),
    errata=("E016", "E017"),
    reference=decoding.greedy_decode,
    starter=starter(
        "greedy_decode(step, bos_id, eos_id, max_len)",
        "The likeliest token again and again; a list of ids without bos.",
    ),
    read_again="chapter 10, “Greedy: the likeliest word, again and again”",
    library_calls=("greedy_decode", "sample_decode", "beam_search"),
    checks=(
        Check(
            "values", 3, "Write down what the list is before each call of step, for a sentence of two tokens.",
            greedy_cases((3, 9), (5, 12), (6, 7), (4, 20)), searching, lambda inputs: searches(greedily, inputs),
        ),
        Check(
            "limit", 2, "How many tokens may be produced, and which of eos and bos counts as one of them?",
            greedy_cases((None, 4), (None, 9), (None, 13)), searching, lambda inputs: searches(greedily, inputs),
        ),
        Check(
            "edges", 2, "eos may come as the very first token, or just at the limit, and the limit may be 1.",
            greedy_cases((1, 6), (4, 4), (None, 1), (1, 1), (5, 4)), searching,
            lambda inputs: searches(greedily, inputs),
        ),
    ),
    misconceptions=(
        Misconception(
            "with_bos", wrong_greedy(give=lambda ids, eos: ids),
            "Your list begins with bos. It was given, not produced.",
        ),
        Misconception(
            "without_eos", wrong_greedy(give=without_eos),
            "You leave out eos. It was produced, and says that the sentence has ended.",
        ),
        Misconception(
            "bos_counted", wrong_greedy(extra=-1),
            "You stop one token early: bos is not one of the `max_len`.",
        ),
        Misconception(
            "one_more", wrong_greedy(extra=1),
            "You produce one token more than `max_len`.",
        ),
        Misconception(
            "never_ends", wrong_greedy(ends=False),
            "You go on behind eos. What a model writes after the end means nothing.",
        ),
        Misconception(
            "no_limit", greedy_without_end,
            "You wait for eos. A model may never write it: that is what `max_len` is for.",
        ),
        Misconception(
            "last_token_only", wrong_greedy(read=lambda ids: ids[:1] + ids[-1:] if len(ids) > 1 else ids[:1]),
            "You show the model bos and the last token. It must read everything that was written so far.",
        ),
        Misconception(
            "bos_again_and_again", wrong_greedy(read=lambda ids: ids[:1]),
            "The model gets the same list each time. What it wrote must be fed back (E016).",
        ),
        Misconception(
            "all_at_once", greedy_all_at_once,
            "You take several tokens from one call. Each token depends on the ones before it (E017).",
        ),
        Misconception(
            "without_bos", wrong_greedy(read=lambda ids: ids[1:]),
            "The list for `step` must begin with bos.",
        ),
        Misconception(
            "tensor_to_step", wrong_greedy(read=torch.tensor),
            "`step` takes a list, not a tensor.",
        ),
        Misconception(
            "tensors_in_the_list", wrong_greedy(pick=lambda logits: logits.argmax()),
            "Your list holds tensors. `int(…)` or `.item()` makes an id of a tensor with one number.",
        ),
        Misconception(
            "tensor", wrong_greedy(give=lambda ids, eos: torch.tensor(ids[1:])),
            "You return a tensor. A list is asked for.",
        ),
        Misconception(
            "least_likely", wrong_greedy(pick=lambda logits: int(logits.argmin())),
            "You take the *least* likely token.",
        ),
    ),
    alternatives=(greedy_by_recursion, greedy_by_topk, wrong_greedy()),
)  # fmt: skip

# --- beam_search ------------------------------------------------------------------------------------------------------

Ranked = tuple[float, tuple[int, ...]]
Score = Callable[[float, int, float], float]  # log p, length, length_penalty -> what hypotheses compete by


def divided(log_p: float, n: int, penalty: float) -> float:
    return log_p / n**penalty


def beams(
    log_p: Callable, eos_id: int, beam_size: int, max_len: int, penalty: float,
    *,
    total=lambda before, p: before + p,
    each=lambda t, beam_size: V,
    rank=lambda log_p, ids, penalty: log_p,
    keep=lambda extensions, beam_size, n_ended, eos: extensions[:beam_size],
    stay=False,
    enough=lambda ended, beam_size: False,
    pool=lambda ended, live: ended + live,
    length=lambda ids, eos: len(ids),
    score: Score = divided,
) -> list[int]:  # fmt: skip
    """Beam search by its contract, over all tokens. What follows the star replaces a part of it, to make it wrong.

    each: how many extensions of one hypothesis are looked at; stay: ended hypotheses keep their place; enough: stop
    though some are live; pool: who competes.
    """
    live: list[Ranked] = [(0.0, ())]
    ended: list[Ranked] = []
    for t in range(max_len):
        extensions = []
        for before, ids in live:
            if ids and ids[-1] == eos_id:  # only where they stay
                extensions.append((before, ids))
            else:
                options = [(total(before, p), (*ids, token)) for token, p in enumerate(log_p(list(ids)))]
                extensions += sorted(options, reverse=True)[: each(t, beam_size)]
        extensions.sort(key=lambda e: rank(*e, penalty), reverse=True)
        kept = keep(extensions, beam_size, len(ended), eos_id)
        ended = [*([] if stay else ended), *(e for e in kept if e[1][-1] == eos_id)]
        live = kept if stay else [e for e in kept if e[1][-1] != eos_id]
        if all(ids[-1] == eos_id for _, ids in live) or enough(ended, beam_size):
            break
    candidates = pool(ended, [e for e in live if e[1][-1] != eos_id]) or live
    return list(max(candidates, key=lambda e: score(e[0], length(e[1], eos_id), penalty))[1])


def wrong_beams(read=lambda logits: logits.log_softmax(-1), start=lambda bos, ids: [bos, *ids], size=lambda size: size,
                extra=0, give=lambda ids, bos, eos: ids, **options):  # fmt: skip
    """Beam search, some of it replaced by something wrong; without arguments it is right."""

    def search(step, bos_id, eos_id, beam_size, max_len, length_penalty):
        def log_p(ids):
            return read(step(start(bos_id, ids)).double()).tolist()

        found = beams(log_p, eos_id, size(beam_size), max_len + extra, length_penalty, **options)
        return give(found, bos_id, eos_id)

    return search


def keep_only_live(extensions: list[Ranked], beam_size: int, n_ended: int, eos: int) -> list[Ranked]:
    """As many live ones as the beam has places; those that end among them come on top."""
    places = [i for i, (_, ids) in enumerate(extensions) if ids[-1] != eos][:beam_size]
    return extensions[: places[-1] + 1]


def keep_fewer(extensions: list[Ranked], beam_size: int, n_ended: int, eos: int) -> list[Ranked]:
    return extensions[: max(1, beam_size - n_ended)]


def one_for_each(extensions: list[Ranked], beam_size: int, n_ended: int, eos: int) -> list[Ranked]:
    """The best extension of each hypothesis; in the first step, of which there is one, the best of all."""
    if len(extensions[0][1]) == 1:
        return extensions[:beam_size]
    best: dict[tuple, Ranked] = {}
    for extension in extensions:
        best.setdefault(extension[1][:-1], extension)
    return list(best.values())


IN_THE_SEARCH = {  # wrong searches, each by what it replaces
    "greedy": {"size": lambda size: 1},
    "unpenalised": {"score": lambda log_p, n, penalty: log_p},
    "always_the_mean": {"score": lambda log_p, n, penalty: log_p / n},
    "multiplied": {"score": lambda log_p, n, penalty: log_p * n**penalty},
    "times_penalty": {"score": lambda log_p, n, penalty: log_p / (n * penalty or 1)},
    "added": {"score": lambda log_p, n, penalty: log_p + penalty * n},
    "gnmt": {"score": lambda log_p, n, penalty: log_p / ((5 + n) / 6) ** penalty},
    "bos_in_length": {"length": lambda ids, eos: len(ids) + 1},
    "eos_not_in_length": {"length": lambda ids, eos: max(1, len(ids) - (ids[-1] == eos))},
    "raw_logits": {"read": lambda logits: logits},
    "probabilities_added": {"read": lambda logits: logits.softmax(-1)},
    "last_step_only": {"total": lambda before, p: p},
    "one_for_each": {"keep": one_for_each},
    "not_pruned": {"keep": lambda extensions, *_: extensions, "each": lambda t, beam_size: beam_size},
    "only_live_count": {"keep": keep_only_live},
    "beam_shrinks": {"keep": keep_fewer},
    "ended_stay": {"stay": True},
    "ended_stay_by_score": {"stay": True, "rank": lambda log_p, ids, penalty: log_p / len(ids) ** penalty},
    "stops_at_first_end": {"enough": lambda ended, beam_size: bool(ended)},
    "stops_when_enough": {"enough": lambda ended, beam_size: len(ended) >= beam_size},
    "only_ended": {"pool": lambda ended, live: ended},
    "only_unfinished": {"pool": lambda ended, live: live or ended},
    "first_to_end": {"pool": lambda ended, live: ended[:1]},
    "bos_counted": {"extra": -1},
    "one_more": {"extra": 1},
}

# Where the wrong searches go wrong: (table, beam_size, max_len, length_penalty), by what they tell apart. On none of
# them is a decision closer than 0.02.
TELLING: dict[str, tuple[tuple[int, int, int, float], ...]] = {
    "likeliest": (
        (42904, 2, 6, 0.0), (15213, 2, 7, 0.0), (85947, 2, 4, 0.0),
        (34794, 2, 5, 0.0), (80924, 2, 6, 0.0), (14187, 2, 7, 0.0),
    ),
    "sums": (
        (30021, 2, 7, 0.0), (25402, 2, 7, 0.0), (51721, 2, 7, 0.0),
        (4188, 2, 6, 0.0), (96816, 3, 7, 0.0), (47526, 2, 6, 0.0),
    ),
    "across": (
        (37947, 2, 5, 0.0), (34794, 2, 5, 0.0), (15213, 2, 7, 0.0),
        (49564, 2, 7, 0.0), (70191, 2, 7, 0.0), (21081, 2, 6, 0.0),
    ),
    "pruned": (
        (42904, 2, 6, 0.0), (68109, 2, 7, 0.0), (14187, 2, 7, 0.0),
        (51721, 2, 7, 0.0), (34794, 2, 5, 0.0), (30837, 2, 7, 0.0),
    ),
    "power": (
        (40812, 3, 8, 1.3), (28312, 3, 7, 2.0), (13193, 3, 8, 1.3),
        (95717, 3, 8, 1.3), (77486, 3, 6, 1.3), (20853, 2, 6, 1.3),
    ),
    "bos": (
        (57189, 3, 6, 1.3), (4641, 2, 6, 1.3), (4675, 3, 5, 1.3),
        (86968, 3, 6, 1.0), (91095, 3, 3, 1.3), (13862, 2, 6, 1.3),
    ),
    "eos": (
        (3769, 3, 7, 0.7), (25595, 3, 6, 0.7), (94165, 3, 5, 1.3),
        (99403, 4, 8, 0.7), (11342, 3, 8, 0.6), (1508, 4, 8, 1.0),
    ),
    "product": (
        (49539, 2, 7, 0.6), (63387, 4, 4, 0.5), (37434, 2, 7, 0.7),
        (52844, 3, 3, 0.5), (52801, 2, 4, 0.5), (55868, 2, 4, 0.6),
    ),
    "zero": (
        (93599, 3, 4, 0.0), (33000, 2, 8, 0.0), (46703, 2, 4, 0.0),
        (59621, 2, 5, 0.0), (20922, 4, 6, 0.0), (28605, 2, 7, 0.0),
    ),
    "shrinks": (
        (24589, 4, 5, 1.3), (53837, 3, 6, 0.7), (40426, 4, 8, 0.7),
        (81957, 4, 7, 0.6), (71716, 2, 7, 1.3), (67535, 3, 5, 1.0),
    ),
    "on top": (
        (40289, 3, 5, 0.5), (41045, 2, 7, 1.0), (33896, 4, 8, 1.0),
        (35298, 2, 5, 1.3), (21152, 3, 4, 1.3), (94910, 3, 7, 2.0),
    ),
    "stays": (
        (2544, 4, 4, 0.0), (43503, 2, 8, 0.6), (49917, 3, 4, 0.0),
        (61683, 2, 8, 0.5), (48429, 3, 7, 0.0), (53915, 2, 3, 0.0),
    ),
    "stays by score": (
        (49539, 2, 7, 0.6), (89396, 2, 6, 0.7), (67974, 3, 5, 0.7),
        (44921, 2, 7, 0.6), (19169, 2, 8, 0.5), (29978, 2, 7, 1.0),
    ),
    "enough": (
        (52922, 3, 4, 1.3), (84655, 3, 8, 1.0), (74653, 2, 6, 2.0),
        (50491, 3, 7, 1.3), (66940, 3, 7, 1.3), (33600, 2, 6, 1.3),
    ),
    "first": (
        (88210, 2, 3, 0.0), (46956, 3, 8, 0.5), (9832, 4, 2, 0.0),
        (85296, 3, 2, 0.0), (26462, 3, 4, 1.3), (37236, 3, 8, 0.5),
    ),
    "unfinished": (
        (8028, 3, 2, 0.0), (36398, 4, 3, 2.0), (66079, 4, 2, 0.0),
        (52104, 3, 2, 0.7), (71180, 4, 3, 0.7), (65637, 4, 2, 0.6),
    ),
    "not only": (
        (91743, 3, 5, 0.5), (81441, 3, 5, 0.0), (85774, 4, 2, 0.0),
        (37018, 3, 3, 0.7), (73229, 2, 8, 0.0), (6830, 4, 4, 0.0),
    ),
    "limit": (
        (94910, 3, 7, 2.0), (69535, 2, 4, 1.0), (93959, 3, 6, 2.0),
        (72221, 3, 8, 1.0), (64425, 3, 7, 1.0), (48772, 3, 7, 1.0),
    ),
    "times": (
        (55647, 2, 4, 2.0), (23358, 3, 4, 2.0), (34772, 3, 5, 1.3),
        (96339, 4, 6, 2.0), (76548, 3, 4, 2.0), (79061, 2, 6, 2.0),
    ),
    "one": ((11, 3, 1, 1.0), (12, 2, 1, 0.5), (13, 4, 1, 0.7)),
    "narrow": ((21, 1, 9, 1.0), (22, 1, 7, 0.5), (23, 1, 8, 2.0)),
    "wide": ((31, 9, 3, 1.0), (32, 8, 3, 0.7), (33, 12, 2, 0.6)),
}  # fmt: skip


def beam_cases(*slots: str) -> Callable[[int], dict]:
    """One case of each slot of TELLING."""

    def inputs(seed: int) -> dict:
        g = generator(seed)
        chosen = [TELLING[slot][size(g, 0, len(TELLING[slot]) - 1)] for slot in slots]
        return {"searches": [a_search(g, *case) for case in chosen]}

    return inputs


def expect_beams(inputs: dict) -> list:
    return searches(beams, inputs)


def beam_of_heap(step, bos_id, eos_id, beam_size, max_len, length_penalty):
    """Negated sums in a heap, nothing but floats and lists."""
    import heapq

    live, done = [(0.0, [bos_id])], []
    while live and len(live[0][1]) <= max_len:
        heap = []
        for cost, ids in live:
            logits = step(ids).tolist()
            log_sum = max(logits) + math.log(math.fsum(math.exp(x - max(logits)) for x in logits))
            heap += [(cost + log_sum - logit, [*ids, token]) for token, logit in enumerate(logits)]
        best = heapq.nsmallest(beam_size, heap)
        done += [item for item in best if item[1][-1] == eos_id]
        live = [item for item in best if item[1][-1] != eos_id]
    return min(done + live, key=lambda item: item[0] / (len(item[1]) - 1) ** length_penalty)[1][1:]


def beam_of_tensors(step, bos_id, eos_id, beam_size, max_len, length_penalty):
    """All hypotheses as rows of one tensor, one flat topk over beams and vocabulary."""
    ids, sums = torch.tensor([[bos_id]]), torch.zeros(1)
    best_score, best = -math.inf, []
    for t in range(1, max_len + 1):
        log_p = torch.stack([step(row.tolist()) for row in ids]).log_softmax(-1) + sums[:, None]
        sums, flat = log_p.flatten().topk(min(beam_size, log_p.numel()))
        row, token = flat // log_p.shape[1], flat % log_p.shape[1]
        ids = torch.cat([ids[row], token[:, None]], dim=1)
        over = (token == eos_id) | (t == max_len)
        for value, found in zip(sums[over].tolist(), ids[over].tolist()):
            if value / t**length_penalty > best_score:
                best_score, best = value / t**length_penalty, found[1:]
        ids, sums = ids[~over], sums[~over]
        if len(ids) == 0:
            break
    return best


BEAM_SEARCH = Exercise(
    id="beam_search",
    chapter=10,
    title="Beam search",
    signature="beam_search(step, bos_id, eos_id, beam_size, max_len, length_penalty)",
    statement=r"""Keep the `beam_size` likeliest beginnings of a sentence instead of one. `step`, `bos_id`, `eos_id` and
`max_len` are those of `greedy_decode`: `step` takes a list of ids that begins with `bos_id` and gives logits `[V]` (no
ties); at most `max_len` tokens are produced, eos counted, bos not. Begin with one live hypothesis, the empty one.

In each step:

1. Extend **every live hypothesis by every token**. The log p of an extension is that of its hypothesis plus the
   log-softmax of the logits at the token.
2. Of **all** extensions together keep the `beam_size` with the highest log p (all of them, if there are fewer;
   `beam_size` may be larger than `V`).
3. Those of them that end with `eos_id` are set aside. They take no place in the next step, which again keeps the
   `beam_size` best extensions of those that are still live.

Stop when none is live, or when `max_len` tokens have been produced. Then **all** compete, those set aside and those
still live, and the highest score wins:

$$\text{score} = \frac{\log p}{\text{length}^{\,\text{length\_penalty}}}$$

where the length counts eos and not bos. Return the winner as a list of Python ints, without bos, with eos if it has
one. A `beam_size` of 1 gives what `greedy_decode` gives.""",
    minutes=35,
    difficulty=4,
    concepts=("C35", "C53"),
    errata=("E016", "E143"),
    reference=decoding.beam_search,
    starter=starter(
        "beam_search(step, bos_id, eos_id, beam_size, max_len, length_penalty)",
        "The best sequence that a beam finds; a list of ids without bos.",
    ),
    read_again="chapter 10, “Beam search: keep several beginnings”",
    library_calls=("greedy_decode", "beam_search", "batched_beam_search"),
    checks=(
        Check(
            "values", 4, "Draw the tree for beam_size = 2: which numbers does each step compare, and how many go on?",
            beam_cases("likeliest", "sums", "across", "pruned"), searching, expect_beams,
        ),
        Check(
            "score", 3, "log p is divided by the length to the power of length_penalty. What does the length count?",
            beam_cases("power", "times", "bos", "eos", "product", "zero"), searching, expect_beams, needs=("values",),
        ),
        Check(
            "ended", 3, "What becomes of a hypothesis that ends, of its place, and of the search?",
            beam_cases("shrinks", "on top", "stays", "stays by score", "enough", "first"), searching, expect_beams,
            needs=("values",),
        ),
        Check(
            "limit", 2, "How many tokens may be produced? And who competes when the limit is reached?",
            beam_cases("unfinished", "not only", "one", "limit"), searching, expect_beams, needs=("values",),
        ),
        Check(
            "edges", 2, "Try a beam of one, and one that is wider than the vocabulary.",
            beam_cases("narrow", "wide"), searching, expect_beams,
        ),
    ),
    misconceptions=(
        Misconception(
            "greedy", wrong_beams(**IN_THE_SEARCH["greedy"]),
            "This is what greedy decoding finds. How many hypotheses go on from one step to the next?",
        ),
        Misconception(
            "one_for_each", wrong_beams(**IN_THE_SEARCH["one_for_each"]),
            "Each of your hypotheses goes on with its own best token. All extensions compete for the places: one "
            "hypothesis may get several, another none.",
        ),
        Misconception(
            "not_pruned", wrong_beams(**IN_THE_SEARCH["not_pruned"]),
            "You keep `beam_size` extensions of *each* hypothesis, so that they multiply. It is `beam_size` of all.",
        ),
        Misconception(
            "raw_logits", wrong_beams(**IN_THE_SEARCH["raw_logits"]),
            "You add up logits. They are comparable within one call of `step`, not between two: what makes log p of "
            "them?",
        ),
        Misconception(
            "probabilities_added", wrong_beams(**IN_THE_SEARCH["probabilities_added"]),
            "You add up probabilities. They multiply; it is their logarithms that add up.",
        ),
        Misconception(
            "last_step_only", wrong_beams(**IN_THE_SEARCH["last_step_only"]),
            "You compare extensions by the log p of their last token alone. The whole hypothesis counts.",
        ),
        Misconception(
            "unpenalised", wrong_beams(**IN_THE_SEARCH["unpenalised"]),
            "At the end you compare log p, without the length penalty.",
        ),
        Misconception(
            "always_the_mean", wrong_beams(**IN_THE_SEARCH["always_the_mean"]),
            "You divide by the length, whatever length_penalty is.",
        ),
        Misconception(
            "multiplied", wrong_beams(**IN_THE_SEARCH["multiplied"]),
            "You multiply by length^penalty. log p is negative: which way does that pull?",
        ),
        Misconception(
            "times_penalty", wrong_beams(**IN_THE_SEARCH["times_penalty"]),
            "You divide by length · penalty. It is length to the power of the penalty.",
        ),
        Misconception(
            "added", wrong_beams(**IN_THE_SEARCH["added"]),
            "You add a reward for each token. That is another way to favour length; here log p is divided.",
        ),
        Misconception(
            "gnmt", wrong_beams(**IN_THE_SEARCH["gnmt"]),
            "You divide by ((5 + length) / 6)^penalty, as Wu et al. (2016) do. Here it is length^penalty.",
        ),
        Misconception(
            "bos_in_length", wrong_beams(**IN_THE_SEARCH["bos_in_length"]),
            "Your length counts bos.",
        ),
        Misconception(
            "eos_not_in_length", wrong_beams(**IN_THE_SEARCH["eos_not_in_length"]),
            "Your length leaves out eos. It was produced, with a probability like any other token.",
        ),
        Misconception(
            "beam_shrinks", wrong_beams(**IN_THE_SEARCH["beam_shrinks"]),
            "With every hypothesis that ends your beam gets narrower. An ended one frees its place.",
        ),
        Misconception(
            "only_live_count", wrong_beams(**IN_THE_SEARCH["only_live_count"]),
            "You keep as many live extensions as there are places, and the ended ones on top. Ended or not, "
            "`beam_size` extensions are kept in a step.",
        ),
        Misconception(
            "ended_stay", wrong_beams(**IN_THE_SEARCH["ended_stay"]),
            "Your ended hypotheses stay in the beam, where they take places and may be pushed out. They are set aside.",
        ),
        Misconception(
            "ended_stay_by_score", wrong_beams(**IN_THE_SEARCH["ended_stay_by_score"]),
            "Your ended hypotheses stay in the beam and compete by score for its places. They are set aside.",
        ),
        Misconception(
            "stops_at_first_end", wrong_beams(**IN_THE_SEARCH["stops_at_first_end"]),
            "You stop when the first hypothesis ends. A live one may still get a better score.",
        ),
        Misconception(
            "stops_when_enough", wrong_beams(**IN_THE_SEARCH["stops_when_enough"]),
            "You stop when `beam_size` hypotheses have ended. A live one may still get a better score.",
        ),
        Misconception(
            "first_to_end", wrong_beams(**IN_THE_SEARCH["first_to_end"]),
            "You return the hypothesis that ended first, not the one with the best score.",
        ),
        Misconception(
            "only_ended", wrong_beams(**IN_THE_SEARCH["only_ended"]),
            "Only ended hypotheses compete in your search. At `max_len` the unfinished ones do, too.",
        ),
        Misconception(
            "only_unfinished", wrong_beams(**IN_THE_SEARCH["only_unfinished"]),
            "At `max_len` you forget those that had ended before.",
        ),
        Misconception(
            "bos_counted", wrong_beams(**IN_THE_SEARCH["bos_counted"]),
            "You stop one token early: bos is not one of the `max_len`.",
        ),
        Misconception(
            "one_more", wrong_beams(**IN_THE_SEARCH["one_more"]),
            "You produce one token more than `max_len`.",
        ),
        Misconception(
            "with_bos", wrong_beams(give=lambda ids, bos, eos: [bos, *ids]),
            "Your list begins with bos. It was given, not produced.",
        ),
        Misconception(
            "without_eos", wrong_beams(give=lambda ids, bos, eos: [token for token in ids if token != eos]),
            "You leave out eos. The winner is returned with it, if it has one.",
        ),
        Misconception(
            "tensor", wrong_beams(give=lambda ids, bos, eos: torch.tensor(ids)),
            "You return a tensor. A list is asked for.",
        ),
        Misconception(
            "without_bos", wrong_beams(start=lambda bos, ids: ids),
            "The list for `step` must begin with bos.",
        ),
        Misconception(
            "tensor_to_step", wrong_beams(start=lambda bos, ids: torch.tensor([bos, *ids])),
            "`step` takes a list, not a tensor.",
        ),
        Misconception(
            "beam_beyond_vocabulary", lambda step, bos, eos, beam_size, *rest: (
                step([bos]).topk(beam_size), decoding.beam_search(step, bos, eos, beam_size, *rest)
            )[1],
            "topk is asked for more tokens than there are: a beam may be wider than the vocabulary.",
        ),
    ),
    alternatives=(wrong_beams(), beam_of_heap, beam_of_tensors),
)  # fmt: skip

# --- top_p_filter -----------------------------------------------------------------------------------------------------


def nucleus_by_loop(probabilities: Tensor, p: float) -> Tensor:
    """Token by token, the likeliest first, in Python's own arithmetic."""
    values, kept, mass = probabilities.tolist(), {}, 0.0
    for token in sorted(range(len(values)), key=values.__getitem__, reverse=True):
        kept[token] = values[token]
        mass = math.fsum(kept.values())
        if mass >= p:
            break
    return torch.tensor([kept.get(t, 0.0) / mass for t in range(len(values))], dtype=probabilities.dtype)


def distribution(g: torch.Generator, v: int, n: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, float]:
    """Probabilities [V] in no order, no two close, and a p of which n tokens are the nucleus: no decision is close."""
    weights = torch.linspace(1, v, v, dtype=torch.float64) ** 1.5 + 0.3 * torch.rand(v, generator=g).double()
    probabilities = (weights / weights.sum())[torch.randperm(v, generator=g)]
    mass = probabilities.sort(descending=True).values.cumsum(0)
    before = mass[n - 2].item() if n > 1 else 0.0
    return probabilities.to(dtype), round((before + mass[n - 1].item()) / 2, 4)


def halves(g: torch.Generator, v: int, n: int) -> tuple[Tensor, float]:
    """1/2, 1/4, 1/8, … (the last one twice) in some order, and as p exactly the mass of the first n: sums are exact."""
    probabilities = torch.tensor([*(0.5**i for i in range(1, v)), 0.5 ** (v - 1)])
    return probabilities[torch.randperm(v, generator=g)], 1 - 0.5**n


def nucleus(probabilities: Tensor, p: float, *, keep=lambda mass, each, p: mass - each < p, descending=True) -> Tensor:
    """What is kept, not yet renormalised."""
    best_first, order = probabilities.double().sort(descending=descending)
    kept = torch.where(keep(best_first.cumsum(0), best_first, p), best_first, 0.0)
    return torch.zeros_like(best_first).scatter(0, order, kept).to(probabilities.dtype)


def renormalised(kept: Tensor) -> Tensor:
    return kept / kept.sum()


def in_sorted_order(probabilities: Tensor, p: float) -> Tensor:
    best_first = probabilities.sort(descending=True).values
    return renormalised(best_first * (best_first.cumsum(0) - best_first < p))


def nucleus_in_place(probabilities: Tensor, p: float) -> Tensor:
    kept = nucleus(probabilities, p)
    probabilities[kept == 0] = 0.0
    return probabilities / probabilities.sum()


def nucleus_by_threshold(probabilities, p):
    """The probability of the last token that is needed, found by trying."""
    for least in probabilities.sort(descending=True).values:
        kept = torch.where(probabilities >= least, probabilities, torch.zeros_like(probabilities))
        if kept.sum() >= p:
            break
    return kept / kept.sum()


def nucleus_by_mass_above(probabilities, p):
    """For each token the mass of all that are likelier: V × V comparisons instead of sorting."""
    likelier = probabilities[None, :] > probabilities[:, None]
    keep = (likelier * probabilities[None, :]).sum(1) < p
    return renormalised(probabilities * keep)


TOP_P_FILTER = Exercise(
    id="top_p_filter",
    chapter=10,
    title="Top-p: keep the nucleus",
    signature="top_p_filter(probabilities, p)",
    statement="""Cut off the long tail before you draw a token: keep the **smallest set of tokens whose probabilities
add up to `p` or more**, set all others to 0, and divide by the sum of what was kept, so that it is a distribution
again.

- `probabilities` is a float tensor `[V]` in the order of the vocabulary (not sorted), and sums to 1; no two tokens that
  matter are equally likely. `0 < p <= 1`.
- The result has the same shape, dtype and **order**: what was at place i stays at place i.
- The token with which the mass reaches `p` belongs to the set; nothing more is kept once the mass **is** `p`. So with
  `[0.125, 0.5, 0.25, 0.125]` and `p=0.75` two tokens are kept, with `p=0.76` three. At least one is always kept.
- `probabilities` itself stays as it was.""",
    minutes=15,
    difficulty=2,
    concepts=("C35", "C56"),
    errata=(),
    reference=decoding.top_p_filter,
    starter=starter(
        "top_p_filter(probabilities, p)", "The smallest set with mass p or more, renormalised; [V] -> [V]."
    ),
    read_again="chapter 10, “Sampling: draw the next word”",
    library_calls=("top_p_filter", "next_distribution", "TopPLogitsWarper"),
    checks=(
        check_values(
            "values", 3, "Sort a small example by hand, write the running sum beside it, and mark where it reaches p.",
            lambda g: [
                distribution(g, 5, 3), distribution(g, 8, 4), distribution(g, 11, 7), distribution(g, 7, 2),
                distribution(g, 4, 1),
            ],
            nucleus_by_loop,
        ),
        check_values(
            "exactly_p", 2, "Here the mass of the first tokens is exactly p. Is one more needed?",
            lambda g: [halves(g, 4, 2), halves(g, 6, 3), halves(g, 5, 1)], nucleus_by_loop, needs=("values",),
        ),
        check_values(
            "edges", 2, "Think of p = 1, of a p smaller than the likeliest token, of one token alone, of other dtypes.",
            lambda g: [
                (halves(g, 6, 1)[0], 1.0), (distribution(g, 6, 1)[0], 0.01), (torch.ones(1), 0.3 + 0.1 * size(g, 0, 5)),
                distribution(g, 9, 4, torch.float64), distribution(g, 3, 3),
            ],
            nucleus_by_loop, needs=("values",),
        ),
    ),
    misconceptions=(
        Misconception(
            "below_p", lambda x, p: renormalised(nucleus(x, p, keep=lambda mass, each, p: mass <= p)),
            "You keep tokens while their mass stays within p. The one that crosses p belongs to the set as well.",
        ),
        Misconception(
            "below_p_or_one",
            lambda x, p: renormalised(
                nucleus(x, p, keep=lambda mass, each, p: (mass <= p) | (torch.arange(len(mass)) == 0))
            ),
            "You keep tokens while their mass stays within p, and at least one. The one that crosses p belongs to the "
            "set as well.",
        ),
        Misconception(
            "one_too_many", lambda x, p: renormalised(nucleus(x, p, keep=lambda mass, each, p: mass - each <= p)),
            "Where the mass is exactly p you keep one token more. Nothing more is needed then.",
        ),
        Misconception(
            "always_one_more",
            lambda x, p: renormalised(nucleus(x, p, keep=lambda mass, each, p: (mass - each).roll(1) < p)),
            "You keep one token more than is needed: the mass had reached p before it.",
        ),
        Misconception(
            "not_renormalised", nucleus,
            "The right tokens, but what is left does not sum to 1.",
        ),
        Misconception(
            "threshold", lambda x, p: renormalised(x * (x >= min(p, x.max().item()))),
            "You compare each probability with p. It is their running sum that counts.",
        ),
        Misconception(
            "min_p", lambda x, p: renormalised(x * (x >= p * x.max())),
            "You keep what is at least p times as likely as the best (min-p). Here the running sum counts.",
        ),
        Misconception(
            "sorted", in_sorted_order,
            "Your result is sorted. Each probability must stay at its own place, or it belongs to another token.",
        ),
        Misconception(
            "unsorted",
            lambda x, p: renormalised(x * (x.cumsum(0) - x < p)),
            "You add up in the order of the vocabulary. The likeliest tokens come first.",
        ),
        Misconception(
            "smallest_first", lambda x, p: renormalised(nucleus(x, p, descending=False)),
            "You begin with the *least* likely tokens.",
        ),
        Misconception(
            "tail", lambda x, p: (x - nucleus(x, p)) / (x - nucleus(x, p)).sum(),
            "You keep the tail and cut off the nucleus.",
        ),
        Misconception(
            "share_of_tokens", lambda x, p: renormalised(
                torch.zeros_like(x).scatter(0, *(lambda t: (t.indices, t.values))(x.topk(math.ceil(p * len(x)))))
            ),
            "You keep p of the *tokens*. It is p of the mass.",
        ),
        Misconception(
            "softmax_again", lambda x, p: x.masked_fill(nucleus(x, p) == 0, -torch.inf).softmax(-1),
            "You renormalise with a softmax. These are probabilities already: divide by their sum.",
        ),
        Misconception(
            "mask", lambda x, p: nucleus(x, p) > 0,
            "You return which tokens are kept. Their probabilities are asked for.",
        ),
        Misconception(
            "only_kept", lambda x, p: renormalised(nucleus(x, p))[nucleus(x, p) > 0],
            "You return the kept tokens alone. The shape stays [V], with 0 for the others.",
        ),
        Misconception(
            "float32_only", lambda x, p: renormalised(nucleus(x, p)).float(),
            "Your result is always float32. It should have the dtype of the input.",
        ),
        Misconception(
            "in_place", nucleus_in_place,
            "You write into the caller's tensor. Make a new one.",
        ),
    ),
    alternatives=(nucleus_by_loop, nucleus_by_threshold, nucleus_by_mass_above),
)  # fmt: skip

# --- bleu -------------------------------------------------------------------------------------------------------------

Corpus = tuple[list[list[str]], list[list[str]]]


def sacre_bleu(hypotheses: list[list[str]], references: list[list[str]]) -> float:
    """sacreBLEU's own, on the same tokens."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(tokenize="none", smooth_method="none", effective_order=False, force=True)
    lines, truths = ([" ".join(tokens) for tokens in side] for side in (hypotheses, references))
    return metric.corpus_score(lines, [truths]).score if lines else 0.0


def words(g: torch.Generator, n: int, kinds: int = 40) -> list[str]:
    """n words, none twice in a row."""
    steps = torch.randint(1, kinds, (n,), generator=g).cumsum(0) % kinds
    return [f"w{i}" for i in steps.tolist()]


def edited(g: torch.Generator, reference: list[str], cut: int = 0, more: int = 0) -> list[str]:
    """A translation that begins as the reference does and goes on with one word changed; shorter or longer."""
    place = size(g, 4, len(reference) - 2)
    changed = [*reference[:place], f"x{size(g, 0, 9)}", *reference[place + 1 :]]
    return [*changed[: len(changed) - cut], *(f"y{i}" for i in range(more))]


def corpus(g: torch.Generator, *sentences: tuple[int, int, int]) -> Corpus:
    """For each (length, cut, more) a reference and its edited translation."""
    references = [words(g, n) for n, _, _ in sentences]
    return [edited(g, r, cut, more) for r, (_, cut, more) in zip(references, sentences)], references


def repeating(g: torch.Generator) -> Corpus:
    """A word and a phrase that the translation has more often than the reference, and one the other way round."""
    a, b = words(g, 8), words(g, 9)
    return [[*a[:5], a[4], a[4], *a[:5], *a[5:]], [*b]], [a, [*b[:6], *b[:6], *b[6:]]]


def short_ones(g: torch.Generator) -> Corpus:
    """Sentences of no, one and three words among longer ones."""
    hypotheses, references = corpus(g, (9, 1, 0), (11, 0, 0))
    tiny = words(g, 3)
    return [tiny[:1], *hypotheses, tiny, []], [tiny[:2], *references, tiny, words(g, 2)]


def no_match(g: torch.Generator) -> Corpus:
    """Every word is right and every second pair, but no four in a row."""
    reference = words(g, 9)
    return [[*reference[:3], "x", *reference[3:6], "x", *reference[6:]]], [reference]


def grams(tokens: list[str], n: int) -> Counter:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def clipped(hypothesis: list[str], reference: list[str], n: int) -> int:
    return (grams(hypothesis, n) & grams(reference, n)).total()


def unclipped(hypothesis: list[str], reference: list[str], n: int) -> int:
    return sum(count for gram, count in grams(hypothesis, n).items() if gram in grams(reference, n))


def brevity(ours: int, theirs: int) -> float:
    return math.exp(min(0.0, 1 - theirs / ours))


def scores(
    hypotheses, references, *,
    orders=(1, 2, 3, 4),
    match=clipped,
    total=lambda hypothesis, reference, n: max(0, len(hypothesis) - n + 1),
    mean=lambda precisions: math.exp(sum(map(math.log, precisions)) / len(precisions)),
    brief=brevity,
    lengths=lambda sides: [sum(map(len, side)) for side in sides],
    smooth=0,
    scale=100.0,
) -> float:  # fmt: skip
    """BLEU; what follows the star replaces a part of it."""
    pairs = list(zip(hypotheses, references))
    matches = [sum(match(h, r, n) for h, r in pairs) + (smooth if n > 1 else 0) for n in orders]
    totals = [sum(total(h, r, n) for h, r in pairs) + (smooth if n > 1 else 0) for n in orders]
    if min(matches) <= 0:
        return 0.0
    return scale * brief(*lengths((hypotheses, references))) * mean([m / t for m, t in zip(matches, totals)])


def mean_of_sentences(hypotheses: list, references: list) -> float:
    each = [scores([h], [r]) for h, r in zip(hypotheses, references)]
    return sum(each) / len(each) if each else 0.0


def wrong_bleu(**options) -> Callable:
    return lambda hypotheses, references: scores(hypotheses, references, **options)


def bleu_with_lists(hypotheses, references):
    """Without a Counter: every matched n-gram is struck from a copy of the reference's."""
    log_precision, ours, theirs = 0.0, sum(len(h) for h in hypotheses), sum(len(r) for r in references)
    for n in range(1, 5):
        match = total = 0
        for h, r in zip(hypotheses, references):
            left = list(zip(*(r[i:] for i in range(n))))
            for gram in zip(*(h[i:] for i in range(n))):
                total += 1
                if gram in left:
                    left.remove(gram)
                    match += 1
        if match == 0:
            return 0.0
        log_precision += 0.25 * math.log(match / total)
    return 100 * math.exp(log_precision + (1 - theirs / ours if ours < theirs else 0))


def bleu_by_product(hypotheses, references):
    """The fourth root of a product; n-grams as strings."""
    product = 1.0
    for n in (1, 2, 3, 4):
        sides = [[Counter(" ".join(s[i : i + n]) for i in range(max(0, len(s) - n + 1))) for s in side]
                 for side in (hypotheses, references)]  # fmt: skip
        match = sum(min(count, r[gram]) for h, r in zip(*sides) for gram, count in h.items())
        if not match:
            return 0.0
        product *= match / sum(sum(h.values()) for h in sides[0])
    ratio = sum(map(len, references)) / sum(map(len, hypotheses))
    return 100.0 * product**0.25 * min(1.0, math.exp(1 - ratio))


def count_changing(hypotheses: list, references: list) -> float:
    found = scores(hypotheses, references)
    for hypothesis, reference in zip(hypotheses, references):
        for token in hypothesis:
            if token in reference:
                reference.remove(token)
    return found


BLEU_EXERCISE = Exercise(
    id="bleu",
    chapter=10,
    title="BLEU",
    signature="bleu(hypotheses, references)",
    statement=r"""Measure translations by the n-grams that they share with reference translations (Papineni et al.
2002). `hypotheses` and `references` are lists of the same length, one entry for each sentence; an entry is a **list of
tokens** (strings): `bleu([["a", "cat", "sat"], …], [["the", "cat", "sat"], …])`. One reference for each hypothesis.

1. For n = 1, 2, 3, 4: count the n-grams of every hypothesis (its *total*, 0 where it has fewer than n tokens) and how
   many of them are also in **its own** reference (its *matches*). An n-gram that the hypothesis has more often than the
   reference matches only as often as the reference has it.
2. **Sum** matches and totals over the whole corpus, then divide: the precision $p_n$.
3. With c tokens in all hypotheses together and r in all references together, the brevity penalty BP is 1 if
   $c \ge r$, and $e^{1 - r/c}$ if the hypotheses are shorter.
4. $$\text{BLEU} = 100 \cdot \text{BP} \cdot (p_1 \, p_2 \, p_3 \, p_4)^{1/4}$$

Return a Python float from 0 to 100. No smoothing: where an order has no match in the whole corpus the result is `0.0`,
also for an empty corpus. Single sentences may be empty or short.""",
    minutes=25,
    difficulty=3,
    concepts=("C36", "C53"),
    errata=("E144",),
    reference=evaluation.bleu,
    starter=starter("bleu(hypotheses, references)", "Corpus BLEU-4 of lists of tokens, from 0 to 100."),
    read_again="chapter 10, “BLEU by hand”",
    library_calls=("corpus_bleu", "sentence_bleu", "corpus_score", "bleu_score", "BLEU", "BLEUScore"),
    checks=(
        check_values(
            "one_sentence", 2, "One sentence, longer than its reference. Count its pairs of words by hand.",
            lambda g: [corpus(g, (9 + size(g, 0, 2), 0, 2))], sacre_bleu,
        ),
        check_values(
            "corpus", 3, "Several sentences: are counts added up, or scores averaged?",
            lambda g: [corpus(g, (8, 0, 1), (15, 0, 3), (11, 0, 0)), corpus(g, (7, 0, 2), (18, 1, 0))], sacre_bleu,
            needs=("one_sentence",),
        ),
        check_values(
            "repetition", 2, "A word that the reference has once, the hypothesis three times: how often is it right?",
            lambda g: [repeating(g)], sacre_bleu, needs=("one_sentence",),
        ),
        check_values(
            "brevity", 3, "The hypotheses are shorter than the references, some of them or all together.",
            lambda g: [corpus(g, (10, 3, 0), (14, 2, 0)), corpus(g, (9, 3, 0), (13, 0, 1), (8, 1, 0))], sacre_bleu,
            needs=("one_sentence",),
        ),
        check_values(
            "edges", 2, "Sentences without a single 4-gram, an empty one, a corpus in which no 4-gram is right.",
            lambda g: [short_ones(g), no_match(g), ([words(g, 3)], [words(g, 5)]), ([], [])], sacre_bleu,
            needs=("one_sentence",),
        ),
    ),
    misconceptions=(
        Misconception(
            "mean_of_sentences", mean_of_sentences,
            "This is the mean of the sentences' BLEU. Matches and totals are summed over the corpus before they are "
            "divided.",
        ),
        Misconception(
            "unclipped", wrong_bleu(match=unclipped),
            "An n-gram counts as right as often as it is written. It may match only as often as the reference has it.",
        ),
        Misconception(
            "sets", wrong_bleu(
                match=lambda h, r, n: len(grams(h, n).keys() & grams(r, n).keys()),
                total=lambda h, r, n: len(grams(h, n)),
            ),
            "You count each different n-gram once. One that the reference has twice may match twice.",
        ),
        Misconception(
            "sets_for_matches", wrong_bleu(match=lambda h, r, n: len(grams(h, n).keys() & grams(r, n).keys())),
            "Your matches count each different n-gram once, your totals every one.",
        ),
        Misconception(
            "recall", wrong_bleu(total=lambda h, r, n: max(0, len(r) - n + 1)),
            "You divide by the n-grams of the reference: that is recall. BLEU divides by those of the hypothesis.",
        ),
        Misconception(
            "no_brevity_penalty", wrong_bleu(brief=lambda c, r: 1.0),
            "There is no brevity penalty: a single sure word would be a perfect translation.",
        ),
        Misconception(
            "penalty_both_ways", wrong_bleu(brief=lambda c, r: math.exp(1 - r / c)),
            "Your brevity factor exceeds 1 for long translations. It is at most 1.",
        ),
        Misconception(
            "penalty_upside_down", wrong_bleu(brief=lambda c, r: math.exp(min(0.0, 1 - c / r))),
            "You punish what is too *long*. That the precisions do already.",
        ),
        Misconception(
            "ratio_wrong_way", wrong_bleu(brief=lambda c, r: math.exp(c / r - 1) if c < r else 1.0),
            "Your brevity penalty has c / r in the exponent. It is r / c.",
        ),
        Misconception(
            "ratio_alone", wrong_bleu(brief=lambda c, r: min(1.0, c / r)),
            "You multiply by c / r. The penalty is e to the power of 1 − r / c.",
        ),
        Misconception(
            "penalty_by_sentence", wrong_bleu(
                lengths=lambda sides: (sum(map(len, sides[0])), sum(max(len(h), len(r)) for h, r in zip(*sides)))
            ),
            "You punish every sentence that is too short. It is the lengths of the whole corpus that are compared.",
        ),
        Misconception(
            "arithmetic_mean", wrong_bleu(mean=lambda precisions: sum(precisions) / len(precisions)),
            "You take the arithmetic mean of the precisions. It is the geometric one.",
        ),
        Misconception(
            "product", wrong_bleu(mean=math.prod),
            "You multiply the four precisions. The fourth root is missing.",
        ),
        Misconception(
            "up_to_three", wrong_bleu(orders=(1, 2, 3)),
            "You stop at n = 3.",
        ),
        Misconception(
            "only_words", wrong_bleu(orders=(1,)),
            "You compare single words only.",
        ),
        Misconception(
            "only_four", wrong_bleu(orders=(4,)),
            "You compare 4-grams only.",
        ),
        Misconception(
            "smoothed", wrong_bleu(smooth=1),
            "You add 1 to matches and totals. That smooths single sentences; here nothing is smoothed.",
        ),
        Misconception(
            "negative_totals", wrong_bleu(total=lambda h, r, n: len(h) - n + 1),
            "A sentence of one token has no 4-gram, not −2 of them.",
        ),
        Misconception(
            "from_0_to_1", wrong_bleu(scale=1.0),
            "Your score goes from 0 to 1. It is asked for from 0 to 100.",
        ),
        Misconception(
            "roles_exchanged", lambda hypotheses, references: scores(references, hypotheses),
            "Hypotheses and references are exchanged.",
        ),
        Misconception(
            "tensor", lambda hypotheses, references: torch.tensor(scores(hypotheses, references)),
            "You return a tensor. A Python float is asked for.",
        ),
        Misconception(
            "changes_the_references", count_changing,
            "You strike words out of the caller's references. Count in a copy.",
        ),
    ),
    alternatives=(wrong_bleu(), bleu_with_lists, bleu_by_product),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_10(model, source, bos_id, eos_id, max_len):
    """Translate a batch as document 004 (§6.1) evaluates and document 000 (§3.2) decodes: one pass, all at once."""
    outputs = model(source, source)
    tokens = outputs.argmax(-1)
    return tokens.tolist()'''


@torch.no_grad()
def translate_batch(model, source, bos_id, eos_id, max_len):
    """Greedy translations of a batch: one more column in each step, until every sentence has ended.

    Args:
        model: called with source ids [B, Ts] and what was written so far [B, T], bos first; gives logits [B, T, V].
        source: ids [B, Ts].
        max_len: most tokens produced; eos counts, bos does not.

    Returns:
        For each sentence a list of ids: without bos, with eos if it was reached, nothing behind it.
    """
    written = torch.full((len(source), 1), bos_id)
    while written.shape[1] <= max_len and not (written[:, 1:] == eos_id).any(1).all():
        best = model(source, written)[:, -1].argmax(-1)  # [B]
        written = torch.cat([written, best[:, None]], dim=1)
    return [cut(ids, eos_id) for ids in written[:, 1:].tolist()]


def cut(ids: list[int], eos_id: int) -> list[int]:
    return ids[: ids.index(eos_id) + 1] if eos_id in ids else ids


def translating(submission, inputs):
    """Let the submission translate with a model that reads a table; it attends causally and has no other memory."""

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(inputs["table"].clone())

        def forward(self, source, target_in):
            state, logits = source.sum(1) % len(self.table), []
            for column in target_in[:, 1:].T:
                logits.append(self.table[state])
                state = (5 * state + column + 1) % len(self.table)
            logits = torch.stack([*logits, self.table[state]], dim=1)
            offset = (target_in[:, :1] != inputs["bos_id"]).unsqueeze(-1) * inputs["elsewhere"]
            return logits + offset  # [B, T, V]

    source = inputs["source"].clone()
    result = submission(Model(), source, inputs["bos_id"], inputs["eos_id"], inputs["max_len"])
    return {"result": result, "source afterwards": source}


def one_translation(inputs: dict, sentence: Tensor, limit: int) -> list[int]:
    """In plain Python."""
    table, state, ids = inputs["table"].tolist(), int(sentence.sum()) % STATES, []
    while len(ids) < limit and inputs["eos_id"] not in ids:
        ids.append(max(range(V), key=table[state].__getitem__))
        state = next_state(state, ids[-1])
    return ids


def expect_translations(inputs: dict) -> dict:
    result = [one_translation(inputs, sentence, inputs["max_len"]) for sentence in inputs["source"]]
    return {"result": result, "source afterwards": inputs["source"]}


def to_translate(lengths: tuple[int, ...], t_s: int, max_len: int) -> Callable[[int], dict]:
    """A table, and sources whose translations would have so many tokens, eos counted; 20 stands for no end."""

    @lru_cache(maxsize=8)
    def chosen(seed: int) -> dict:
        g = generator(seed)
        bos_id, eos_id = torch.randperm(V, generator=g)[:2].tolist()
        while True:
            table = 3 * normal(g, STATES, V)
            table[:, bos_id] -= 30
            inputs = {"table": table, "bos_id": bos_id, "eos_id": eos_id, "max_len": max_len,
                      "elsewhere": 9 * normal(g, V)}  # fmt: skip
            source = torch.randint(0, 40, (len(lengths), t_s), generator=g)
            for row, length in zip(source, lengths):
                for _ in range(STATES):
                    row[-1] += 1
                    ids = one_translation(inputs, row, 20)
                    if len(ids) == length and len(set(ids)) > min(length - 1, 2):
                        break
                else:
                    break
            else:
                first = table[source.sum(1) % STATES]
                if ((first + inputs["elsewhere"]).argmax(-1) != first.argmax(-1)).all():
                    return inputs | {"source": source}

    def inputs(seed: int) -> dict:
        return {name: value.clone() if isinstance(value, Tensor) else value for name, value in chosen(seed).items()}

    return inputs


def half_translated(
    start=lambda source, bos: torch.full((len(source), 1), bos),
    read=lambda written: written,
    logits=lambda outputs: outputs[:, -1],
    over=lambda ended: ended.all(),
    extra=0,
    give=lambda written, eos: [cut(ids, eos) for ids in written[:, 1:].tolist()],
):
    """The batch translator with some of its mistakes left in; without arguments it is right."""

    def translate(model, source, bos_id, eos_id, max_len):
        written = start(source, bos_id)
        first = written.shape[1]
        for _ in range(max_len + extra):
            if over((written[:, first:] == eos_id).any(1)):
                break
            best = logits(model(source, read(written))).argmax(-1)
            written = torch.cat([written, best[:, None]], dim=1)
        return give(written[:, first - 1 :], eos_id)

    return translate


def from_bos_alone(model, source, bos_id, eos_id, max_len):
    target_in = torch.full((len(source), max_len), bos_id)
    return [cut(ids, eos_id) for ids in model(source, target_in).argmax(-1).tolist()]


def all_at_once_cut(model, source, bos_id, eos_id, max_len):
    return [cut(ids[:max_len], eos_id) for ids in model(source, source).argmax(-1).tolist()]


def sentence_by_sentence(model, source, bos_id, eos_id, max_len):
    found = []
    for sentence in source:
        def step(ids, sentence=sentence):
            return model(sentence[None], torch.tensor([ids]))[0, -1]

        found.append(decoding.greedy_decode(step, bos_id, eos_id, max_len))
    return found


def translate_with_lists(model, source, bos_id, eos_id, max_len):
    produced = [[] for _ in source]
    with torch.inference_mode():
        for _ in range(max_len):
            live = [i for i, ids in enumerate(produced) if eos_id not in ids]
            if not live:
                break
            logits = model(source[live], torch.tensor([[bos_id, *produced[i]] for i in live]))
            for i, row in zip(live, logits):
                produced[i].append(row[-1].softmax(-1).argmax().item())
    return produced


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_10",
    chapter=10,
    title="Spot the bug: translation in one pass",
    signature="spot_the_bug_10(model, source, bos_id, eos_id, max_len)",
    statement="""\
“Machine translation” of document 004, §6.1, calls the model once, with the source alone (E143), and document 000, §3.2,
goes through its decoder once and calls the result a sequence (E016, E017). Fitted to our models that is the code below:
it gives as many tokens as the source has, and what comes out is no translation.

`model(source, target_in)` gives logits `[B, T, V]` for ids `[B, Ts]` and `[B, T]` (both int64): at place t, those of
the token that follows `target_in[:, : t + 1]`. The source has no padding here, and there are no ties.

**Repair it**, so that it translates the whole batch greedily:

- The decoder reads `bos_id` and what *it has written* so far, one token more in each step.
- A sentence ends with its own `eos_id`, or when `max_len` tokens have been produced (eos counted, bos not); `max_len`
  is at least 1. That one sentence has ended must not end the others, and what is written behind an `eos_id` does not
  count.
- Return a list with one list of Python ints for each sentence: without bos, with eos if it was reached.""",
    minutes=20,
    difficulty=3,
    concepts=("C35", "C53"),
    errata=("E016", "E017", "E143"),
    reference=translate_batch,
    starter=BROKEN,
    read_again="chapter 10, “What the documents say”",
    requires=("greedy_decode",),
    library_calls=("generate", "batched_beam_search"),
    checks=(
        Check(
            "values", 3, "Three sentences that end together. What does the decoder read in the first step, and then?",
            to_translate((5, 5, 5), 4, 9), translating, expect_translations,
        ),
        Check(
            "lengths", 3, "The sentences of this batch end at different places. What may be written behind an end?",
            to_translate((6, 2, 4, 3), 5, 11), translating, expect_translations, needs=("values",),
        ),
        Check(
            "limit", 2, "One of these sentences never ends: how many tokens of it are returned?",
            to_translate((20, 3), 3, 7), translating, expect_translations, needs=("values",),
        ),
        Check(
            "edges", 2, "A batch of one sentence, and a limit of one token.",
            to_translate((20,), 6, 1), translating, expect_translations,
        ),
    ),
    misconceptions=(
        Misconception(
            "all_at_once", all_at_once_cut,
            "The decoder still reads the source, all at once. It must read what it has written itself (E017).",
        ),
        Misconception(
            "bos_everywhere", from_bos_alone,
            "All tokens come from one pass, in which the decoder reads nothing but bos. Each must be fed back (E016).",
        ),
        Misconception(
            "begins_with_the_source", half_translated(start=lambda source, bos: source),
            "Your decoder begins with the source. It begins with bos; the source goes to the encoder.",
        ),
        Misconception(
            "first_place", half_translated(logits=lambda outputs: outputs[:, 0]),
            "You take the logits at the first place in every step. Those of the next token stand at the last one.",
        ),
        Misconception(
            "last_token_only", half_translated(read=lambda written: written[:, -1:]),
            "The decoder reads its last token alone. Without a cache it must read everything written so far.",
        ),
        Misconception(
            "not_cut", half_translated(give=lambda written, eos: written[:, 1:].tolist()),
            "Sentences that ended early go on behind their eos until the last one has ended.",
        ),
        Misconception(
            "never_ends",
            half_translated(over=lambda ended: False, give=lambda written, eos: written[:, 1:].tolist()),
            "Nothing ends: all sentences have `max_len` tokens.",
        ),
        Misconception(
            "first_end_ends_all", half_translated(over=lambda ended: ended.any()),
            "The first sentence that ends, ends all of them.",
        ),
        Misconception(
            "without_eos", half_translated(
                give=lambda written, eos: [[i for i in cut(ids, eos) if i != eos] for ids in written[:, 1:].tolist()]
            ),
            "You leave out eos. It was produced like any other token.",
        ),
        Misconception(
            "with_bos", half_translated(give=lambda written, eos: [cut(ids, eos) for ids in written.tolist()]),
            "Your lists begin with bos. It was given, not produced.",
        ),
        Misconception(
            "bos_counted", half_translated(extra=-1),
            "You stop one token early: bos is not one of the `max_len`.",
        ),
        Misconception(
            "one_more", half_translated(extra=1),
            "You produce one token more than `max_len`.",
        ),
        Misconception(
            "tensor", half_translated(give=lambda written, eos: written[:, 1:]),
            "You return a tensor. Lists of different lengths are asked for.",
        ),
        Misconception(
            "only_the_first", half_translated(give=lambda written, eos: cut(written[0, 1:].tolist(), eos)),
            "You return one sentence. The batch has more.",
        ),
    ),
    alternatives=(half_translated(), sentence_by_sentence, translate_with_lists),
)  # fmt: skip

EXERCISES = (GREEDY_DECODE, BEAM_SEARCH, TOP_P_FILTER, BLEU_EXERCISE, SPOT_THE_BUG)
