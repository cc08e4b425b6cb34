"""Chapter 09: training. The order in this module is that of chapter 03, the pattern."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import losses, optimisers, schedules, transformer
from course_lib.exercises.chapter_03 import size, starter
from course_lib.grading.exercise import Check, Exercise, Misconception
from course_lib.grading.observe import check_values, generator, gradients, integers, normal

# --- smoothed_cross_entropy -------------------------------------------------------------------------------------------


def cross_entropy_of_pytorch(logits: Tensor, targets: Tensor, smoothing: float, pad_id: int) -> Tensor:
    flat = logits.flatten(0, 1), targets.flatten()
    return F.cross_entropy(*flat, ignore_index=pad_id, label_smoothing=smoothing)


def scored(g: torch.Generator, b: int, t: int, v: int, smoothing: float, pad_id: int = 0, scale: float = 1.0) -> tuple:
    """Logits, targets without padding, smoothing, pad_id."""
    targets = integers(g, 0, v - 1, b, t)
    return scale * normal(g, b, t, v), targets + (targets >= pad_id), smoothing, pad_id


def padded(g: torch.Generator, b: int, t: int, v: int, smoothing: float, pad_id: int = 0) -> tuple:
    """The same with padding behind each sentence but the first; each has another length."""
    logits, targets, *rest = scored(g, b, t, v, smoothing, pad_id)
    lengths = t - torch.arange(b) % t
    return logits, targets.masked_fill(torch.arange(t) >= lengths[:, None], pad_id), *rest


def more_padding(g: torch.Generator) -> list[tuple]:
    """A batch, and the same batch with two more columns of padding at which the logits are anything."""
    logits, targets, *rest = padded(g, 3, 4, 6, 0.1)
    more, pads = 50 * normal(g, 3, 2, 6), torch.zeros(3, 2, dtype=torch.int64)
    return [(logits, targets, *rest), (torch.cat([logits, more], 1), torch.cat([targets, pads], 1), *rest)]


def loss_gradients(seed: int) -> dict:
    g = generator(seed)
    cases = [scored(g, 2, 3, 5, 0.0), padded(g, 3, 4, 6, 0.1)]
    return {"cases": cases, "weights": [torch.tensor(1.0), torch.tensor(2.0)]}


def expect_loss_gradients(inputs: dict) -> list:
    return gradients(cross_entropy_of_pytorch, inputs)


def loss_edges(g: torch.Generator) -> list[tuple]:
    double = padded(g, 2, 3, 5, 0.1)
    return [
        scored(g, 1, 1, 4, 0.1), scored(g, 1, 5, 2, 0.0), (double[0].double(), *double[1:]),
        scored(g, 2, 3, 7, 0.3, pad_id=6), padded(g, 4, 3, 5, 0.2, pad_id=2),
    ]  # fmt: skip


def token_losses(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """[B, T], padding included."""
    log_p = logits.log_softmax(-1)
    nll = -log_p.gather(-1, targets[..., None]).squeeze(-1)
    return (1 - smoothing) * nll - smoothing * log_p.mean(-1)


def wrong_loss(
    each=token_losses, keep=lambda targets, pad_id: targets != pad_id, reduce=lambda x, keep: x[keep].mean()
):
    """The loss in three steps, some replaced by wrong ones."""
    return lambda logits, targets, smoothing, pad_id: reduce(each(logits, targets, smoothing), keep(targets, pad_id))


def smoothing_over_others(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    log_p, v = logits.log_softmax(-1), logits.shape[-1]
    right = log_p.gather(-1, targets[..., None]).squeeze(-1)
    return -(1 - smoothing) * right - smoothing / (v - 1) * (log_p.sum(-1) - right)


def smoothing_without_padding(logits: Tensor, targets: Tensor, smoothing: float, pad_id: int) -> Tensor:
    log_p, v = logits.log_softmax(-1), logits.shape[-1]
    spread = torch.full_like(log_p, smoothing / (v - 2))
    spread[..., pad_id] = 0.0
    spread = spread.scatter(-1, targets[..., None], 1 - smoothing)
    return -(spread * log_p).sum(-1)[targets != pad_id].mean()


def loss_by_distribution(logits, targets, smoothing, pad_id):
    """The cross-entropy with the smoothed distribution written out."""
    v = logits.shape[-1]
    wanted = (1 - smoothing) * F.one_hot(targets, v).to(logits.dtype) + smoothing / v
    shifted = logits - logits.amax(-1, keepdim=True)
    log_p = shifted - shifted.exp().sum(-1, keepdim=True).log()
    keep = (targets != pad_id).to(logits.dtype)
    return -((wanted * log_p).sum(-1) * keep).sum() / keep.sum()


def loss_token_by_token(logits, targets, smoothing, pad_id):
    total, n = logits.sum() * 0, 0
    for row, wanted in zip(logits, targets):
        for scores, right in zip(row, wanted.tolist()):
            if right != pad_id:
                surprises = scores.logsumexp(0) - scores
                total, n = total + (1 - smoothing) * surprises[right] + smoothing * surprises.mean(), n + 1
    return total / n


def in_place_loss(logits, targets, smoothing, pad_id):
    logits -= logits.amax(-1, keepdim=True)
    return losses.smoothed_cross_entropy(logits, targets, smoothing, pad_id)


SMOOTHED_CROSS_ENTROPY = Exercise(
    id="smoothed_cross_entropy",
    chapter=9,
    title="Cross-entropy with label smoothing",
    signature="smoothed_cross_entropy(logits, targets, smoothing, pad_id)",
    statement=r"""The loss that training minimises. For one token with logits over V ids, and $p$ their softmax:

$$-(1-\varepsilon) \log p(\text{target}) \;-\; \frac{\varepsilon}{V} \sum_{v=1}^{V} \log p(v)$$

- `logits` is `[B, T, V]`, `targets` is `[B, T]`, `smoothing` is ε, from 0 to below 1.
- The result is the **mean over all tokens that are not padding**, in nats: a tensor without axes. A target equal to
  `pad_id` counts neither above nor below the fraction line.
- ε is spread over *all* V ids, the right one and the padding id among them, as PyTorch's `label_smoothing` does it.
- It must work for logits of ±10,000.""",
    minutes=20,
    difficulty=3,
    concepts=("C31",),
    errata=("E136", "E138"),
    reference=losses.smoothed_cross_entropy,
    starter=starter(
        "smoothed_cross_entropy(logits, targets, smoothing, pad_id)",
        "Mean loss a token. logits: [B, T, V], targets: [B, T]; targets equal to pad_id do not count.",
    ),
    read_again="chapter 09, “By hand”",
    requires=("softmax",),
    library_calls=("cross_entropy", "CrossEntropyLoss", "nll_loss", "NLLLoss", "kl_div", "KLDivLoss"),
    checks=(
        check_values(
            "values", 3, "Without smoothing and padding it is the mean of −log p(target). Which axis has the ids?",
            lambda g: [scored(g, 2, 3, 5, 0.0), scored(g, 4, 1, 6, 0.0)], cross_entropy_of_pytorch,
        ),
        check_values(
            "smoothing", 3, "Write down the smoothed target for V = 4 and ε = 0.1. It must sum to 1.",
            lambda g: [scored(g, 2, 3, 5, 0.1), scored(g, 3, 2, 7, 0.4)], cross_entropy_of_pytorch, needs=("values",),
        ),
        check_values(
            "padding", 3, "Count: how many tokens are there, and how many places? Which of the two do you divide by?",
            lambda g: [padded(g, 3, 4, 5, 0.0), padded(g, 2, 5, 6, 0.1), padded(g, 4, 3, 7, 0.0, pad_id=3)],
            cross_entropy_of_pytorch, needs=("values",),
        ),
        check_values(
            "more_padding", 1, "Two more columns of padding changed your result.",
            more_padding, cross_entropy_of_pytorch, needs=("smoothing", "padding"),
        ),
        check_values(
            "large", 1, "A softmax underflows to 0, and log 0 is −∞. There is a way to the logarithm that avoids it.",
            lambda g: [scored(g, 2, 3, 5, 0.1, scale=1e4), scored(g, 3, 2, 4, 0.0, scale=1e4)],
            cross_entropy_of_pytorch, needs=("values", "smoothing"), atol=1e-2,
        ),
        Check(
            "gradients", 2, "Stay with torch operations from the logits to the loss: no `.item()`, no `.detach()`.",
            loss_gradients, gradients, expect_loss_gradients, needs=("values", "smoothing", "padding"),
        ),
        check_values(
            "edges", 1, "Think of a single token, of another padding id than 0, and of float64.",
            loss_edges, cross_entropy_of_pytorch, needs=("values", "smoothing", "padding"),
        ),
    ),
    misconceptions=(
        Misconception(
            "padding_counted", wrong_loss(keep=lambda targets, pad_id: torch.ones_like(targets).bool()),
            "Padding counts in your loss, as in document 004 (E136).",
        ),
        Misconception(
            "divided_by_places", wrong_loss(reduce=lambda x, keep: (x * keep).mean()),
            "Padding adds nothing to your sum, but you still divide by all places.",
        ),
        Misconception(
            "mean_of_sentences",
            wrong_loss(reduce=lambda x, keep: ((x * keep).sum(1) / keep.sum(1)).mean()),
            "You average each sentence, then the sentences: a token of a short sentence counts for more (E138).",
        ),
        Misconception(
            "sum", wrong_loss(reduce=lambda x, keep: x[keep].sum()),
            "This is the sum over the tokens, not their mean.",
        ),
        Misconception(
            "not_reduced", wrong_loss(reduce=lambda x, keep: x * keep),
            "This is the loss of each place. The result is one number.",
        ),
        Misconception(
            "padding_is_zero", wrong_loss(keep=lambda targets, pad_id: targets != 0),
            "You take 0 for padding. The padding id is an argument.",
        ),
        Misconception(
            "not_smoothed", wrong_loss(lambda logits, targets, smoothing: token_losses(logits, targets, 0.0)),
            "These are the values without smoothing.",
        ),
        Misconception(
            "spread_over_the_others", wrong_loss(smoothing_over_others),
            "You spread ε over the V − 1 other ids. Here it goes to all V, and the right one gets its share too.",
        ),
        Misconception(
            "padding_gets_none", smoothing_without_padding,
            "You give the padding id nothing of ε, as some implementations do. Here it goes to all V ids.",
        ),
        Misconception(
            "right_keeps_all",
            wrong_loss(lambda x, y, e: token_losses(x, y, 0.0) - e * x.log_softmax(-1).mean(-1)),
            "The right id keeps all of its weight in your loss, and ε comes on top: the target sums to more than 1.",
        ),
        Misconception(
            "sum_over_vocabulary",
            wrong_loss(lambda x, y, e: (1 - e) * token_losses(x, y, 0.0) - e * x.log_softmax(-1).sum(-1)),
            "Every id gets all of ε in your loss. Each gets ε/V.",
        ),
        Misconception(
            "positive", wrong_loss(lambda x, y, e: -token_losses(x, y, e)),
            "The sign is wrong: a loss must fall when the right token becomes likelier.",
        ),
        Misconception(
            "probability", wrong_loss(lambda x, y, e: 1 - x.softmax(-1).gather(-1, y[..., None]).squeeze(-1)),
            "This is 1 − p(target). Cross-entropy takes the logarithm of p.",
        ),
        Misconception(
            "base_two", wrong_loss(lambda x, y, e: token_losses(x, y, e) / math.log(2)),
            "These are bits: you took logarithms to base 2. Nats are asked for.",
        ),
        Misconception(
            "softmax_twice", wrong_loss(lambda x, y, e: token_losses(x.softmax(-1), y, e)),
            "Your loss takes a softmax of what has been through a softmax already.",
        ),
        Misconception(
            "over_places", wrong_loss(lambda x, y, e: -x.log_softmax(1).gather(-1, y[..., None]).squeeze(-1)),
            "Your softmax runs over the places of the sentence. It is the ids that compete.",
        ),
        Misconception(
            "unstable",
            wrong_loss(lambda x, y, e: -(1 - e) * x.softmax(-1).log().gather(-1, y[..., None]).squeeze(-1)
                       - e * x.softmax(-1).log().mean(-1)),
            "This is what log(softmax(x)) gives: an underflow to 0, and its logarithm is −∞.",
        ),
        Misconception(
            "python_number", lambda *given: losses.smoothed_cross_entropy(*given).item(),
            "You return a Python number: nothing can be trained through it. Return the tensor.",
        ),
        Misconception(
            "detached", lambda x, *rest: losses.smoothed_cross_entropy(x.detach(), *rest),
            "The values are right, but they are cut off from the logits, so that nothing could be trained.",
        ),
        Misconception(
            "in_place", in_place_loss,
            "Operators like -= write into the caller's tensor. Make a new one.",
        ),
    ),
    alternatives=(loss_by_distribution, loss_token_by_token, cross_entropy_of_pytorch),
)  # fmt: skip

# --- noam_rate --------------------------------------------------------------------------------------------------------


def noam_by_cases(step: int, d_model: int, warmup: int) -> float:
    if step < warmup:
        return step / math.sqrt(d_model * warmup**3)
    return 1 / math.sqrt(d_model * step)


def follow_rates(submission, inputs):
    """The course of the rate: where it is highest, how it rises and falls."""
    d_model, warmup = inputs["d_model"], inputs["warmup"]
    rates = [float(submission(step, d_model, warmup)) for step in range(1, 4 * warmup + 1)]
    return {
        "step with the highest rate": rates.index(max(rates)) + 1,
        "rate at step 2 over rate at step 1": rates[1] / rates[0],
        "rate at 4 × warmup over the highest": rates[-1] / max(rates),
        "rate for four times the width over the rate": submission(warmup, 4 * d_model, warmup) / rates[warmup - 1],
    }


def expect_course(inputs: dict) -> dict:
    return {
        "step with the highest rate": inputs["warmup"],
        "rate at step 2 over rate at step 1": 2.0,
        "rate at 4 × warmup over the highest": 0.5,
        "rate for four times the width over the rate": 0.5,
    }


def rates_of(g: torch.Generator, *kinds: str) -> list[tuple]:
    cases = []
    for kind in kinds:
        warmup, d_model = size(g, 100, 900), 64 * size(g, 1, 12)
        steps = {"rising": size(g, 2, warmup // 2), "falling": warmup + size(g, 10, 5000), "top": warmup}
        cases.append((steps[kind], d_model, warmup))
    return cases


def noam(formula):
    return lambda step, d_model, warmup: float(formula(step, d_model, warmup))


EXACT = dict(atol=0.0, rtol=1e-6)
NOAM_RATE = Exercise(
    id="noam_rate",
    chapter=9,
    title="The learning rate of the Transformer paper",
    signature="noam_rate(step, d_model, warmup)",
    statement=r"""Write the schedule of Vaswani et al. 2017, eq. 3:

$$\text{rate} = d_{\text{model}}^{-1/2} \cdot
\min\left(\text{step}^{-1/2},\ \text{step} \cdot \text{warmup}^{-3/2}\right)$$

`step` is the step about to be taken, counted from 1. The result is a Python `float`.

Before you write: at which step are both arms of the minimum equal, and what is the rate there for
$d_{\text{model}} = 512$ and 4,000 steps of warm-up?""",
    minutes=5,
    difficulty=1,
    concepts=("C32",),
    errata=("E141",),
    reference=schedules.noam_rate,
    starter=starter("noam_rate(step, d_model, warmup)", "The learning rate for this step, a float; step is 1 or more."),
    read_again="chapter 09, “A rate that rises, then falls”",
    library_calls=("noam_rate", "LambdaLR", "LinearLR", "SequentialLR"),
    checks=(
        check_values(
            "rising", 2, "During warm-up the rate is proportional to the step. Compare each exponent with the formula.",
            lambda g: rates_of(g, "rising", "rising"), noam_by_cases, **EXACT,
        ),
        check_values(
            "falling", 2, "After warm-up the rate falls with the square root of the step.",
            lambda g: rates_of(g, "falling", "falling", "top"), noam_by_cases, **EXACT,
        ),
        Check(
            "course", 2, "Rise until warmup, then fall: which of the two arms is the smaller one in step 1?",
            lambda seed: {"d_model": 64 * size(generator(seed), 1, 9), "warmup": size(generator(seed + 1), 10, 40)},
            follow_rates, expect_course, **EXACT,
        ),
        check_values(
            "edges", 1, "Think of step 1, of a warm-up of a single step, and of whole numbers that are divided.",
            lambda g: [
                (1, 64 * size(g, 1, 8), size(g, 50, 90)), (1, size(g, 3, 30), 1), (size(g, 2, 9), size(g, 3, 30), 1)
            ],
            noam_by_cases, needs=("rising", "falling"), **EXACT,
        ),
    ),
    misconceptions=(
        Misconception(
            "maximum", noam(lambda s, d, w: d**-0.5 * max(s**-0.5, s * w**-1.5)),
            "You take the larger of the two arms. Then the rate begins at its highest.",
        ),
        Misconception(
            "no_width", noam(lambda s, d, w: min(s**-0.5, s * w**-1.5)),
            "The factor for the width of the model is missing.",
        ),
        Misconception(
            "width_multiplied", noam(lambda s, d, w: d**0.5 * min(s**-0.5, s * w**-1.5)),
            "Your rate grows with the width. A wider model gets a smaller one.",
        ),
        Misconception(
            "width_not_rooted", noam(lambda s, d, w: min(s**-0.5, s * w**-1.5) / d),
            "You divide by the width; the formula divides by its root.",
        ),
        Misconception(
            "warmup_rooted", noam(lambda s, d, w: d**-0.5 * min(s**-0.5, s * w**-0.5)),
            "The exponent of warmup is −3/2, not −1/2. With yours both arms meet long before the end of warm-up.",
        ),
        Misconception(
            "warmup_linear", noam(lambda s, d, w: d**-0.5 * min(s**-0.5, s / w)),
            "step / warmup is 1 at the end of warm-up, but the other arm is warmup^−½ there: they should meet.",
        ),
        Misconception(
            "only_falling", noam(lambda s, d, w: d**-0.5 * s**-0.5),
            "This is the falling arm alone: there is no warm-up.",
        ),
        Misconception(
            "only_rising", noam(lambda s, d, w: d**-0.5 * s * w**-1.5),
            "This is the rising arm alone: the rate never falls.",
        ),
        Misconception(
            "constant_after", noam(lambda s, d, w: (d * w) ** -0.5 * min(1.0, s / w)),
            "Your rate stays at its highest after warm-up. It should fall with the root of the step.",
        ),
        Misconception(
            "falls_too_fast", noam(lambda s, d, w: (d * w) ** -0.5 * min(s / w, w / s)),
            "After warm-up your rate falls with the step itself, not with its root.",
        ),
        Misconception(
            "counted_from_zero", noam(lambda s, d, w: d**-0.5 * min((s + 1) ** -0.5, (s + 1) * w**-1.5)),
            "You add 1 to the step. It is counted from 1 already.",
        ),
        Misconception(
            "one_behind", noam(lambda s, d, w: d**-0.5 * min((s - 1) ** -0.5, (s - 1) * w**-1.5)),
            "You take 1 off the step: the first one then has no rate.",
        ),
        Misconception(
            "tensor", lambda s, d, w: torch.tensor(schedules.noam_rate(s, d, w)),
            "You return a tensor. A Python float is asked for.",
        ),
    ),
    alternatives=(
        noam_by_cases,
        lambda step, d_model, warmup: sorted([step * warmup**-1.5, 1 / math.sqrt(step)])[0] / math.sqrt(d_model),
        lambda step, d_model, warmup: (d_model * max(step, warmup**3 / step**2)) ** -0.5,
    ),
)  # fmt: skip

# --- adam_step --------------------------------------------------------------------------------------------------------


def adam_of_pytorch(parameter, gradient, m, v, step, lr, beta1, beta2, eps):
    """torch.optim.Adam, put into the state before this step."""
    weight = torch.nn.Parameter(parameter.clone())
    weight.grad = gradient.clone()
    optimizer = torch.optim.Adam([weight], lr=lr, betas=(beta1, beta2), eps=eps, foreach=False)
    optimizer.state[weight] = {
        "step": torch.tensor(float(step - 1)), "exp_avg": m.clone(), "exp_avg_sq": v.clone()
    }  # fmt: skip
    optimizer.step()
    state = optimizer.state[weight]
    return weight.detach(), state["exp_avg"], state["exp_avg_sq"]


def adam_case(g: torch.Generator, shape: tuple, step: int, *, eps: float = 1e-8, dtype=torch.float32) -> tuple:
    """Arguments for one step; with means of zero in step 1."""
    parameter, gradient, m, v = (torch.randn(shape, generator=g, dtype=dtype) for _ in range(4))
    if step == 1:
        m, v = torch.zeros_like(m), torch.zeros_like(v)
    return parameter, gradient, 0.5 * m, v.square() + 0.1 * (step > 1), step, 0.05, 0.8, 0.97, eps


def walk(submission, inputs):
    """Four steps in a row, each with the means that the one before returned."""
    parameter, m, v = inputs["parameter"], inputs["m"], inputs["v"]
    places = []
    for step, gradient in enumerate(inputs["gradients"], 1):
        found = submission(parameter, gradient, m, v, step, 0.1, 0.9, 0.99, 1e-8)
        parameter, m, v = (x.detach() if isinstance(x, torch.Tensor) else x for x in found)
        places.append(parameter)
    return {"the parameter after each step": torch.stack(places)}


def walk_inputs(seed: int) -> dict:
    g = generator(seed)
    zeros = torch.zeros(3, 2)
    return {"parameter": normal(g, 3, 2), "m": zeros, "v": zeros.clone(), "gradients": normal(g, 4, 3, 2)}


def expect_walk(inputs: dict) -> dict:
    weight, places = torch.nn.Parameter(inputs["parameter"].clone()), []
    optimizer = torch.optim.Adam([weight], lr=0.1, betas=(0.9, 0.99), eps=1e-8, foreach=False)
    for gradient in inputs["gradients"]:
        weight.grad = gradient.clone()
        optimizer.step()
        places.append(weight.detach().clone())
    return {"the parameter after each step": torch.stack(places)}


def adam_edges(g: torch.Generator) -> list[tuple]:
    still = adam_case(g, (4,), 1)
    return [
        (still[0], torch.zeros(4), *still[2:]), adam_case(g, (2, 3, 4), 5, dtype=torch.float64),
        adam_case(g, (), 2), adam_case(g, (1, 5), 1000),
    ]  # fmt: skip


def wrong_adam(
    first=lambda m, g, b1, b2: b1 * m + (1 - b1) * g,
    second=lambda v, g, b1, b2: b2 * v + (1 - b2) * g * g,
    correct=lambda m, v, b1, b2, t: (m / (1 - b1**t), v / (1 - b2**t)),
    move=lambda g, m, v, eps: m / (v.sqrt() + eps),
    give=lambda p, m, v, m_hat, v_hat: (p, m, v),
):
    """Adam in five steps, some replaced by wrong ones."""

    def adam(parameter, gradient, m, v, step, lr, beta1, beta2, eps):
        m, v = first(m, gradient, beta1, beta2), second(v, gradient, beta1, beta2)
        m_hat, v_hat = correct(m, v, beta1, beta2, step)
        return give(parameter - lr * move(gradient, m_hat, v_hat, eps), m, v, m_hat, v_hat)

    return adam


def adam_in_place(parameter, gradient, m, v, step, lr, beta1, beta2, eps):
    m.mul_(beta1).add_(gradient, alpha=1 - beta1)
    v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    parameter.sub_(lr * (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps))
    return parameter, m, v


def adam_with_old_means(parameter, gradient, m, v, step, lr, beta1, beta2, eps):
    _, m_new, v_new = wrong_adam()(parameter, gradient, m, v, step, lr, beta1, beta2, eps)
    return parameter - lr * (m / (1 - beta1**step)) / ((v / (1 - beta2**step)).sqrt() + eps), m_new, v_new


def adam_by_lerp(parameter, gradient, m, v, step, lr, beta1, beta2, eps):
    m, v = torch.lerp(m, gradient, 1 - beta1), torch.lerp(v, gradient.square(), 1 - beta2)
    size_of_step = lr / (1 - beta1**step)
    return parameter - size_of_step * m / (v.sqrt() / math.sqrt(1 - beta2**step) + eps), m, v


def adam_number_by_number(parameter, gradient, m, v, step, lr, beta1, beta2, eps):
    results = []
    for p, g, a, b in zip(*(x.flatten().tolist() for x in (parameter, gradient, m, v))):
        a, b = beta1 * a + (1 - beta1) * g, beta2 * b + (1 - beta2) * g**2
        results.append((p - lr * (a / (1 - beta1**step)) / (math.sqrt(b / (1 - beta2**step)) + eps), a, b))
    return tuple(torch.tensor(x, dtype=parameter.dtype).view(parameter.shape) for x in zip(*results))


ADAM_STEP = Exercise(
    id="adam_step",
    chapter=9,
    title="One step of Adam",
    signature="adam_step(parameter, gradient, m, v, step, lr, beta1, beta2, eps)",
    statement=r"""Kingma and Ba 2015, algorithm 1. Update the two running means, correct them for having begun at
zero, and move:

$$m \leftarrow \beta_1 m + (1-\beta_1)\, g \qquad v \leftarrow \beta_2 v + (1-\beta_2)\, g^2$$

$$\hat m = \frac{m}{1-\beta_1^{\,t}} \qquad \hat v = \frac{v}{1-\beta_2^{\,t}} \qquad
\theta \leftarrow \theta - \text{lr} \cdot \frac{\hat m}{\sqrt{\hat v} + \epsilon}$$

- `parameter`, `gradient`, `m` and `v` have one shape; `step` is $t$, counted from 1.
- Return `(parameter, m, v)`, new tensors; `m` and `v` **without** the correction, ready for the next step.""",
    minutes=15,
    difficulty=2,
    concepts=("C32",),
    errata=("E141",),
    reference=optimisers.adam_step,
    starter=starter(
        "adam_step(parameter, gradient, m, v, step, lr, beta1, beta2, eps)",
        "One step of Adam; step counts from 1. Returns (parameter, m, v), m and v uncorrected.",
    ),
    read_again="chapter 09, “One step of Adam”",
    library_calls=("Adam", "AdamW", "NAdam", "RAdam", "Adamax"),
    checks=(
        check_values(
            "first_step", 3, "In step 1 both means are zero. By hand, with the gradient 0.5: what are m, v, m̂, v̂?",
            lambda g: [adam_case(g, (5,), 1), adam_case(g, (2, 3), 1)], adam_of_pytorch,
        ),
        check_values(
            "later_step", 3, "Now m and v are not zero, and t is larger. Which of the numbers depend on t?",
            lambda g: [adam_case(g, (4,), 2), adam_case(g, (3, 2), 7)], adam_of_pytorch,
        ),
        Check(
            "walk", 2, "Each step takes the m and v that the one before returned. Are they uncorrected, in this order?",
            walk_inputs, walk, expect_walk, needs=("first_step",),
        ),
        check_values(
            "epsilon", 1, "Where does ε stand: under the root or beside it?",
            lambda g: [adam_case(g, (6,), 1, eps=0.1), adam_case(g, (2, 4), 3, eps=0.3)], adam_of_pytorch,
            needs=("first_step",),
        ),
        check_values(
            "edges", 1, "Think of a gradient of zero, a parameter without axes, a late step, and float64.",
            adam_edges, adam_of_pytorch, needs=("first_step", "later_step"),
        ),
    ),
    misconceptions=(
        Misconception(
            "uncorrected", wrong_adam(correct=lambda m, v, b1, b2, t: (m, v)),
            "The means are not corrected for having begun at zero: in step 1 they are far too small.",
        ),
        Misconception(
            "only_first_corrected", wrong_adam(correct=lambda m, v, b1, b2, t: (m / (1 - b1**t), v)),
            "Only m is corrected. The mean of the squares began at zero too.",
        ),
        Misconception(
            "only_second_corrected", wrong_adam(correct=lambda m, v, b1, b2, t: (m, v / (1 - b2**t))),
            "Only v is corrected. The mean of the gradients began at zero too.",
        ),
        Misconception(
            "power_forgotten", wrong_adam(correct=lambda m, v, b1, b2, t: (m / (1 - b1), v / (1 - b2))),
            "You correct by 1 − β in every step. The correction fades as t grows.",
        ),
        Misconception(
            "step_from_zero",
            wrong_adam(correct=lambda m, v, b1, b2, t: (m / (1 - b1 ** (t + 1)), v / (1 - b2 ** (t + 1)))),
            "You add 1 to the step. It is counted from 1 already.",
        ),
        Misconception(
            "epsilon_under_the_root", wrong_adam(move=lambda g, m, v, eps: m / (v + eps).sqrt()),
            "Your ε stands under the root.",
        ),
        Misconception(
            "no_root", wrong_adam(move=lambda g, m, v, eps: m / (v + eps)),
            "You divide by the mean square itself, not by its root.",
        ),
        Misconception(
            "not_divided", wrong_adam(move=lambda g, m, v, eps: m),
            "You move by the mean gradient alone: that is momentum. What is v for?",
        ),
        Misconception(
            "gradient_divided", wrong_adam(move=lambda g, m, v, eps: g / (v.sqrt() + eps)),
            "You move by the gradient of this step, not by the mean.",
        ),
        Misconception(
            "plain_descent", wrong_adam(move=lambda g, m, v, eps: g),
            "This is plain gradient descent: the means are computed, but not used.",
        ),
        Misconception(
            "uphill", wrong_adam(move=lambda g, m, v, eps: -m / (v.sqrt() + eps)),
            "You go uphill: the step has the wrong sign.",
        ),
        Misconception(
            "not_squared", wrong_adam(second=lambda v, g, b1, b2: b2 * v + (1 - b2) * g),
            "v is the mean of the *squared* gradient. Yours can become negative.",
        ),
        Misconception(
            "means_not_weighted",
            wrong_adam(lambda m, g, b1, b2: b1 * m + g, lambda v, g, b1, b2: b2 * v + g * g),
            "The factor 1 − β is missing in front of the new gradient: your means are sums.",
        ),
        Misconception(
            "betas_exchanged",
            wrong_adam(lambda m, g, b1, b2: b2 * m + (1 - b2) * g, lambda v, g, b1, b2: b1 * v + (1 - b1) * g * g,
                       lambda m, v, b1, b2, t: (m / (1 - b2**t), v / (1 - b1**t))),
            "β₁ and β₂ are exchanged.",
        ),
        Misconception(
            "weights_exchanged",
            wrong_adam(lambda m, g, b1, b2: (1 - b1) * m + b1 * g, lambda v, g, b1, b2: (1 - b2) * v + b2 * g * g),
            "You keep 1 − β of the old mean and take β of the new gradient. It is the other way round.",
        ),
        Misconception(
            "corrected_means_returned", wrong_adam(give=lambda p, m, v, m_hat, v_hat: (p, m_hat, v_hat)),
            "You return the corrected means. The next step would correct them again.",
        ),
        Misconception(
            "order", wrong_adam(give=lambda p, m, v, *_: (p, v, m)),
            "m and v are returned in the wrong order.",
        ),
        Misconception(
            "only_the_parameter", wrong_adam(give=lambda p, *_: p),
            "You return the parameter alone. Without m and v the next step would have no memory.",
        ),
        Misconception(
            "old_means", adam_with_old_means,
            "You move by the means as they were before this gradient.",
        ),
        Misconception(
            "in_place", adam_in_place,
            "Operators like mul_ and -= write into the caller's tensors. Make new ones.",
        ),
    ),
    alternatives=(adam_by_lerp, adam_number_by_number, adam_of_pytorch),
)  # fmt: skip

# --- spot the bug -----------------------------------------------------------------------------------------------------

BROKEN = '''\
def spot_the_bug_09(model, batches, bos_id, pad_id):
    """The mean loss a token over all batches, as document 004 (§5.2) measures it."""
    model.eval()
    total_loss = 0
    for source, target in batches:
        outputs = model(source)
        loss = torch.nn.CrossEntropyLoss()(outputs.view(-1, outputs.shape[-1]), target.view(-1))
        total_loss += loss.item()
    return total_loss / len(batches)'''


@torch.no_grad()
def evaluate(model, batches, bos_id, pad_id):
    """The mean loss a token: evaluation mode, teacher forcing, no padding, weighted by tokens.

    Args:
        model: called with source ids [B, Ts] and what the decoder reads [B, Tt]; gives logits [B, Tt, V].
        batches: pairs of source and target ids [B, Tt], padded on the right.
        bos_id: what the decoder reads first.
        pad_id: targets with this id do not count.

    Returns:
        A float, in nats; the model is left in the mode in which it was.
    """
    was_training = model.training
    model.eval()
    total, n_tokens = 0.0, 0
    for source, target in batches:
        logits = model(source, transformer.shift_right(target, bos_id))
        n = (target != pad_id).sum().item()
        total += losses.smoothed_cross_entropy(logits, target, 0.0, pad_id).item() * n
        n_tokens += n
    model.train(was_training)
    return total / n_tokens


def measure(submission, inputs):
    """Let the submission evaluate a small model with dropout that notes how it is called."""

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(inputs["table"].clone())
            self.dropout = torch.nn.Dropout(0.5)
            self.calls = []

        def forward(self, source, target_in):
            self.calls.append((self.training, torch.is_grad_enabled()))
            return self.dropout(self.table[target_in] + self.table[source].mean(1, keepdim=True))

    torch.manual_seed(0)
    model = Model().train(inputs["training"])
    result = submission(model, [(source.clone(), target.clone()) for source, target in inputs["batches"]], 1, 0)
    if not inputs["look_at_calls"]:
        return {"result": result}
    return {
        "dropout was on during evaluation": any(training for training, _ in model.calls),
        "operations were recorded for a gradient": any(recorded for _, recorded in model.calls),
        "model.training afterwards": model.training,
        "operations are recorded again afterwards": torch.is_grad_enabled(),
    }


def expect_measured(inputs: dict) -> dict:
    """Token by token, in float64."""
    if inputs["look_at_calls"]:
        return {
            "dropout was on during evaluation": False,
            "operations were recorded for a gradient": False,
            "model.training afterwards": inputs["training"],
            "operations are recorded again afterwards": True,
        }
    table, surprises = inputs["table"].double(), []
    for source, target in inputs["batches"]:
        for words, wanted in zip(source, target.tolist()):
            before = 1
            for token in wanted:
                if token:
                    log_p = (table[before] + table[words].mean(0)).log_softmax(0)
                    surprises.append(-log_p[token].item())
                before = token
    return {"result": math.fsum(surprises) / len(surprises)}


def to_measure(*shapes: tuple, pads: bool = False, training: bool = False, look_at_calls: bool = False):
    """Inputs with one batch for each shape (B, T); with `pads` the sentences of a batch have different lengths."""

    def inputs(seed: int) -> dict:
        g, batches = generator(seed), []
        for b, t in shapes:
            source, target = integers(g, 2, 9, b, 4), integers(g, 2, 9, b, t)
            lengths = t - torch.arange(b) % t if pads else torch.full((b,), t)
            batches.append((source, target.masked_fill(torch.arange(t) >= lengths[:, None], 0)))
        return {"table": 2 * normal(g, 9, 9), "batches": batches, "training": training, "look_at_calls": look_at_calls}

    return inputs


def half_repaired(
    reads=transformer.shift_right,
    counts=lambda target, pad_id: target != pad_id,
    weigh=lambda sums, counts: sum(sums) / sum(counts),
    quiet=True,
    before=lambda model: model.eval(),
    after=lambda model, was_training: model.train(was_training),
    call=lambda model, source, target_in: model(source, target_in),
    give=float,
):
    """The evaluation with some of its mistakes left in; without arguments it is right."""

    def evaluation(model, batches, bos_id, pad_id):
        was_training, sums, numbers = model.training, [], []
        before(model)
        with torch.set_grad_enabled(not quiet):
            for source, target in batches:
                each = token_losses(call(model, source, reads(target, bos_id)), target, 0.0)
                keep = counts(target, pad_id)
                sums.append(each[keep].sum().item())
                numbers.append(keep.sum().item())
        after(model, was_training)
        return give(weigh(sums, numbers))

    return evaluation


def mean_of_means(sums: list, numbers: list) -> float:
    return sum(s / n for s, n in zip(sums, numbers)) / len(sums)


def everything(target: Tensor, pad_id: int) -> Tensor:
    return torch.ones_like(target).bool()


def slices_without_bos(model, batches, bos_id, pad_id):
    was_training, total, n_tokens = model.training, 0.0, 0
    model.eval()
    with torch.no_grad():
        for source, target in batches:
            each, wanted = token_losses(model(source, target[:, :-1]), target[:, 1:], 0.0), target[:, 1:]
            total, n_tokens = total + each[wanted != pad_id].sum().item(), n_tokens + (wanted != pad_id).sum().item()
    model.train(was_training)
    return total / n_tokens


def evaluation_with_switch(model, batches, bos_id, pad_id):
    torch.set_grad_enabled(False)
    return half_repaired()(model, batches, bos_id, pad_id)


def evaluation_by_sums(model, batches, bos_id, pad_id):
    mode = model.training
    model.train(False)
    count = torch.nn.CrossEntropyLoss(ignore_index=pad_id, reduction="sum")
    with torch.inference_mode():
        pairs = [(model(s, torch.cat([torch.full_like(t[:, :1], bos_id), t[:, :-1]], 1)), t) for s, t in batches]
        total = sum(count(logits.transpose(1, 2), t).item() for logits, t in pairs)
    model.train(mode)
    return total / sum((t != pad_id).sum().item() for _, t in pairs)


def evaluation_sentence_by_sentence(model, batches, bos_id, pad_id):
    mode, surprises = model.training, []
    model.eval()
    with torch.no_grad():
        for sources, targets in batches:
            for source, target in zip(sources, targets):
                target = target[target != pad_id]
                log_p = model(source[None], torch.tensor([[bos_id, *target[:-1].tolist()]]))[0].log_softmax(-1)
                surprises += [-log_p[place, token].item() for place, token in enumerate(target)]
    model.train(mode)
    return sum(surprises) / len(surprises)


SPOT_THE_BUG = Exercise(
    id="spot_the_bug_09",
    chapter=9,
    title="Spot the bug: the evaluation of document 004",
    signature="spot_the_bug_09(model, batches, bos_id, pad_id)",
    statement="""\
This is `evaluate_model` of document 004, §5.2, fitted to our models: `model(source, target_in)` gives logits
`[B, T, V]`, and `batches` is a list of pairs `(source, target)`, `[B, Ts]` and `[B, T]`, padded on the right with
`pad_id`. The targets do not contain `bos_id`.

**Repair it**, so that it returns the mean loss a token as a Python `float`:

- The decoder reads the target one place behind what it must predict, `bos_id` first.
- Padding does not count, and every token counts alike, in whatever batch it stands.
- Nothing is recorded for a gradient; dropout is off, and afterwards the model is in the mode in which you found it.""",
    minutes=20,
    difficulty=3,
    concepts=("C31", "C34"),
    errata=("E133", "E135", "E136", "E137", "E138"),
    reference=evaluate,
    starter=BROKEN,
    read_again="chapter 09, “What the documents say”",
    requires=("smoothed_cross_entropy",),
    checks=(
        Check(
            "values", 3, "No padding yet: what does the decoder read at place 1, and what at place 2?",
            to_measure((3, 5), (3, 5)), measure, expect_measured,
        ),
        Check(
            "padding", 2, "The sentences now have different lengths. Which places have a token to predict?",
            to_measure((4, 5), pads=True), measure, expect_measured, needs=("values",),
        ),
        Check(
            "unequal_batches", 2, "A batch of two tokens and one of eighteen: each token counts alike.",
            to_measure((6, 3), (1, 2), (2, 4)), measure, expect_measured, needs=("values",),
        ),
        Check(
            "quiet", 2, "eval() and no_grad() are two different things. And in which mode did you find the model?",
            to_measure((2, 3), training=True, look_at_calls=True), measure, expect_measured,
        ),
        Check(
            "mode_kept", 1, "You found the model in evaluation mode.",
            to_measure((2, 3), training=False, look_at_calls=True), measure, expect_measured, needs=("quiet",),
        ),
        Check(
            "all_together", 1, "Padding and unequal batches at once, from a model in training mode.",
            to_measure((3, 4), (1, 6), (5, 2), pads=True, training=True), measure, expect_measured,
            needs=("padding", "unequal_batches", "quiet"),
        ),
    ),
    misconceptions=(
        Misconception(
            "source_only", half_repaired(call=lambda model, source, target_in: model(source)),
            "The model gets the source alone (E133). What does the decoder read?",
        ),
        Misconception(
            "unshifted", half_repaired(reads=lambda target, bos_id: target),
            "The decoder reads the very token that it must predict (E135). Its input begins with bos.",
        ),
        Misconception(
            "bos_everywhere", half_repaired(reads=torch.full_like),
            "The decoder reads bos at every place. Only the first one is bos; then come the target's tokens.",
        ),
        Misconception(
            "reads_the_source", half_repaired(reads=lambda target, bos_id: target, call=lambda m, s, t: m(s, s)),
            "The decoder reads the source. It must read the target, one place behind.",
        ),
        Misconception(
            "shifted_left", half_repaired(reads=lambda target, bos_id: target.roll(-1, 1)),
            "Your shift goes the wrong way: the decoder reads the token *after* the one that it must predict.",
        ),
        Misconception(
            "rolled", half_repaired(reads=lambda target, bos_id: target.roll(1, 1)),
            "`roll` brings the last token to the front. There must be bos.",
        ),
        Misconception(
            "first_token_lost", slices_without_bos,
            "target[:, :-1] and target[:, 1:] are right for targets that begin with bos. Ours do not: the "
            "first token is lost.",
        ),
        Misconception(
            "padding_counted", half_repaired(counts=everything),
            "The shift is right. Padding still counts (E136).",
        ),
        Misconception(
            "mean_of_means", half_repaired(weigh=mean_of_means),
            "This is the mean of the batches' means: a token of a small batch counts for more (E138).",
        ),
        Misconception(
            "only_shift_repaired",
            half_repaired(counts=everything, weigh=mean_of_means, quiet=False, after=lambda *_: None),
            "The shift is right. Padding, the average and the record for the gradient are still as they were.",
        ),
        Misconception(
            "not_divided", half_repaired(weigh=lambda sums, numbers: sum(sums)),
            "This is the sum over all tokens, not their mean.",
        ),
        Misconception(
            "divided_by_batches", half_repaired(weigh=lambda sums, numbers: sum(sums) / len(sums)),
            "You sum over tokens, and divide by the number of batches.",
        ),
        Misconception(
            "recorded", half_repaired(quiet=False),
            "eval() turns dropout off. It does not stop PyTorch from recording operations for a gradient (E137).",
        ),
        Misconception(
            "record_left_off", evaluation_with_switch,
            "You switch the record for gradients off for good: nothing could be trained afterwards. `with` ends it.",
        ),
        Misconception(
            "dropout_on", half_repaired(before=lambda model: None, after=lambda *_: None),
            "no_grad() stops the record for the gradient. It does not turn dropout off.",
        ),
        Misconception(
            "left_in_evaluation", half_repaired(after=lambda *_: None),
            "You leave the model in evaluation mode: called in the middle of training, it ends dropout for good.",
        ),
        Misconception(
            "left_in_training", half_repaired(after=lambda model, _: model.train()),
            "You leave the model in training mode, even if you found it in evaluation mode.",
        ),
        Misconception(
            "tensor", half_repaired(give=torch.tensor),
            "You return a tensor. A Python float is asked for.",
        ),
    ),
    alternatives=(evaluation_by_sums, evaluation_sentence_by_sentence, half_repaired()),
)  # fmt: skip

EXERCISES = (SMOOTHED_CROSS_ENTROPY, NOAM_RATE, ADAM_STEP, SPOT_THE_BUG)
