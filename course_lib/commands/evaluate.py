"""`course evaluate`: score a trained model on a split it has not seen."""

from pathlib import Path
from typing import Annotated

import typer

from course_lib.commands import DATA_DIR, DIRECTION, load_translator, print_json
from course_lib.errors import CourseError

EXAMPLE = "Example: course evaluate --model runs/m30k --corpus multi30k --split test --beam 5 --json"


def evaluate(
    model: Annotated[Path | None, typer.Option(help="Folder of a trained model; the shipped one if left out.")] = None,
    corpus: Annotated[str | None, typer.Option(help="A corpus; the model's own if left out.")] = None,
    direction: DIRECTION = None,
    split: Annotated[str, typer.Option(help="test, val, … ; grammar: compositional and long too.")] = "test",
    beam: Annotated[int, typer.Option(min=1, help="Hypotheses kept at each step; 1 is greedy.")] = 5,
    data_dir: DATA_DIR = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Translate a split of a corpus and score it: BLEU and chrF by sacreBLEU, with the signature."""
    from tqdm import tqdm

    from course_lib.config import DecodeConfig
    from course_lib.corpora import load_corpus
    from course_lib.training import score_split

    translator = load_translator(model)
    data = load_corpus(corpus or translator.corpus, direction or translator.direction, data_dir)
    if data.direction != translator.direction:
        raise CourseError(f"the model translates {translator.direction}, not {data.direction}")
    if split not in data.splits:
        raise CourseError(f"the corpus {data.name} has no split {split!r}: choose {', '.join(data.splits)}")
    with tqdm(total=len(data.splits[split]), unit=" sentences", disable=None) as bar:
        scores = score_split(translator, data, split, DecodeConfig(beam_size=beam), bar.update)
    result = {
        "corpus": data.name,
        "direction": data.direction,
        "split": split,
        "sentences": len(data.splits[split]),
        **scores,
    }
    if as_json:
        print_json(result)
        return
    bleu = scores["bleu"]
    typer.echo(f"{data.name} {data.direction} {split}, {result['sentences']} sentences, beam {beam}")
    typer.echo(f"BLEU  {bleu['score']:.2f}   in lower case {bleu['lowercase_score']:.2f}   {bleu['signature']}")
    typer.echo(f"chrF  {scores['chrf']:.2f}   exact {scores['exact']:.1%}   {scores['tokens_per_second']:.0f} tokens/s")
