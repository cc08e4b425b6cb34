"""Chapter 00: the tour. Its one exercise repairs the concept map of document 004; chapter 03 is the pattern."""

from course_lib.grading.exercise import Check, Exercise, Misconception

STARTER = '''\
def spot_the_bug_00():
    """The arrows of document 004, §2.2: pairs (from, to)."""
    return [
        ("sequence model", "self-attention"),
        ("sequence model", "Transformer"),
        ("self-attention", "multi-head self-attention"),
        ("multi-head self-attention", "feed-forward network"),
    ]'''

MAP = {
    "sequence model": ["RNN", "CNN", "Transformer"],
    "Transformer": ["encoder", "decoder"],
    "encoder": ["self-attention", "feed-forward network"],
    "decoder": ["self-attention", "cross-attention", "feed-forward network"],
}


def concept_edges() -> list[tuple[str, str]]:
    """What kinds of sequence models there are, and what a Transformer is made of: pairs (from, to)."""
    return [(whole, part) for whole, parts in MAP.items() for part in parts]


def follow_arrows(submission, inputs):
    """For each question whether arrows lead from one concept to the other."""
    edges = []
    for edge in submission():
        if not isinstance(edge, (tuple, list)) or len(edge) != 2:
            raise ValueError("an arrow is a pair (from, to)")
        edges.append(tuple(edge))
    answers = {}
    for start, end in inputs["questions"]:
        found, waiting = set(), {start}
        while waiting:
            waiting = {b for a, b in edges if a in waiting} - found
            found |= waiting
        answers[f"arrows lead from “{start}” to “{end}”"] = end in found
    for start, end in inputs["arrows"]:
        answers[f"there is an arrow from “{start}” straight to “{end}”"] = (start, end) in edges
    return answers


def ask(id: str, points: int, hint: str, yes: dict[str, str], no: dict[str, str], arrows=(), needs=()) -> Check:
    """A check of where arrows lead and where not; `yes` and `no`: from -> to, to, …; `arrows` must not be there."""
    pairs = [[(a, b) for a, text in side.items() for b in text.split(", ")] for side in (yes, no)]
    truth = [(pair, True) for pair in pairs[0]] + [(pair, False) for pair in pairs[1]]

    def inputs(seed: int) -> dict:
        first = seed % len(truth)  # the same questions, beginning with another one
        return {"questions": [pair for pair, _ in truth[first:] + truth[:first]], "arrows": list(arrows)}

    def expected(inputs: dict) -> dict:
        answers = {f"arrows lead from “{a}” to “{b}”": answer for (a, b), answer in truth}
        return answers | {f"there is an arrow from “{a}” straight to “{b}”": False for a, b in arrows}

    return Check(id, points, hint, inputs, follow_arrows, expected, needs)


def edges(*more: tuple[str, str], without: tuple = (), turned: bool = False):
    """The right arrows with some more, some fewer, or all turned round."""

    def answer():
        kept = [edge for edge in [*concept_edges(), *more] if edge not in without]
        return [(b, a) for a, b in kept] if turned else kept

    return answer


def flat_edges():
    parts = ["self-attention", "cross-attention", "feed-forward network", "encoder", "decoder"]
    return [("sequence model", kind) for kind in MAP["sequence model"]] + [("Transformer", part) for part in parts]


def printed_edges(*more: tuple[str, str]):
    return lambda: [
        ("sequence model", "self-attention"), ("sequence model", "Transformer"),
        ("self-attention", "multi-head self-attention"), ("multi-head self-attention", "feed-forward network"), *more,
    ]  # fmt: skip


def edges_with_layers():
    """Another right answer: with layers between stacks and parts."""
    layers = [("encoder", "encoder layer"), ("decoder", "decoder layer")]
    inside = [(f"{a} layer", b) for a in ("encoder", "decoder") for b in MAP[a]]
    return [(a, b) for a, b in concept_edges() if a not in ("encoder", "decoder")] + layers + inside


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_00",
    chapter=0,
    title="Spot the bug: the concept map of document 004",
    signature="spot_the_bug_00()",
    statement="""\
These are the four arrows of document 004, §2.2. **Repair the list**: arrows lead from a concept to its kinds, and
from a whole to what it is made of. Use these names (and more, if you like):

`"sequence model"`, `"RNN"`, `"CNN"`, `"Transformer"`, `"encoder"`, `"decoder"`, `"self-attention"`,
`"cross-attention"`, `"feed-forward network"`

The check follows your arrows. From the Transformer one must come to all of its parts, and from no part to a whole.""",
    minutes=5,
    difficulty=1,
    concepts=("C01",),
    errata=("E103", "E104"),
    reference=concept_edges,
    starter=STARTER,
    read_again="chapter 00, “A map that lost its subject”",
    checks=(
        ask(
            "kinds", 2, "RNN, CNN and Transformer are three kinds of sequence models; none is made of another.",
            {"sequence model": "RNN, CNN, Transformer"},
            {"Transformer": "RNN, CNN", "RNN": "CNN, Transformer", "CNN": "RNN, Transformer"},
        ),
        ask(
            "made_of", 3, "A Transformer has an encoder and a decoder. What are they made of?",
            {"Transformer": "encoder, decoder, self-attention, cross-attention, feed-forward network"}, {},
        ),
        ask(
            "encoder_and_decoder", 3, "Both have self-attention and a feed-forward network. Who looks at whom?",
            {"encoder": "self-attention, feed-forward network",
             "decoder": "self-attention, cross-attention, feed-forward network"},
            {"encoder": "cross-attention, decoder", "decoder": "encoder"}, needs=("made_of",),
        ),
        ask(
            "no_part_is_a_whole", 2, "An arrow goes from a whole to its part. What is attention made of, and what not?",
            {}, {"self-attention": "feed-forward network, Transformer, encoder",
                 "feed-forward network": "self-attention, Transformer", "Transformer": "Transformer, sequence model"},
            arrows=[("sequence model", part) for part in ("self-attention", "cross-attention", "feed-forward network")],
        ),
    ),
    misconceptions=(
        Misconception(
            "one_arrow_more", printed_edges(("Transformer", "self-attention")),
            "One can now come from the Transformer to attention. But attention still leads on to the feed-forward "
            "network, as if it were made of it.",
        ),
        Misconception(
            "printed_arrows_kept", lambda: [*printed_edges()(), *concept_edges()],
            "Your new arrows are right. Of the printed ones some are still wrong: which of them ends at what is no "
            "part of where it begins?",
        ),
        Misconception(
            "nothing_leads_anywhere", lambda: [],
            "Nothing leads where it should. Are the names spelled as above, and is each arrow a pair (from, to)?",
        ),
        Misconception(
            "no_pairs", lambda: [(a, "→", b) for a, b in concept_edges()],
            "Each arrow is two names, (from, to), and nothing else; the list holds arrows and nothing else.",
        ),
        Misconception("turned_round", edges(turned=True), "All of your arrows point from the part to the whole."),
        Misconception(
            "flat", flat_edges,
            "All parts hang from the Transformer itself. Which of them belong to the encoder, which to the decoder?",
        ),
        Misconception(
            "cross_attention_in_both", edges(("encoder", "cross-attention")),
            "Your encoder has cross-attention, as document 001, §2.1, says (E040). It has nothing else to look at.",
        ),
        Misconception(
            "no_cross_attention", edges(without=(("decoder", "cross-attention"),)),
            "Nothing in your Transformer connects the decoder with what the encoder has read.",
        ),
        Misconception(
            "decoder_in_encoder", edges(("encoder", "decoder")),
            "The decoder follows the encoder, but it is no part of it.",
        ),
        Misconception(
            "kept_printed_arrow", edges(("sequence model", "self-attention")),
            "One printed arrow is left: self-attention is an operation, no kind of sequence model (E103).",
        ),
        Misconception(
            "transformer_of_rnn", edges(("Transformer", "RNN")),
            "A Transformer contains no recurrent network: that is its point.",
        ),
        Misconception(
            "only_transformer", edges(without=(("sequence model", "RNN"), ("sequence model", "CNN"))),
            "There are other kinds of sequence models than the Transformer.",
        ),
    ),
    alternatives=(
        edges_with_layers,
        lambda: [[a, b] for a, b in reversed(concept_edges())],
        edges(("Transformer", "output layer"), ("Transformer", "embeddings and positions")),
    ),
)  # fmt: skip

EXERCISES = (SPOT_THE_BUG,)
