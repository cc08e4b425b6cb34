"""How a gradient becomes a step."""

from torch import Tensor


def adam_step(
    parameter: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """One step of Adam: parameter - lr · m̂ / (√v̂ + ε)  (Kingma, Ba 2015, algorithm 1).

    Args:
        parameter, gradient: of one shape.
        m, v: running means of the gradient and of its square, zero before the first step.
        step: the step being taken, counted from 1.
        lr: the learning rate.
        beta1, beta2: how much of m and of v is kept.
        eps: added to the root, so that nothing is divided by zero.

    Returns:
        The new parameter, m and v; m and v as running means, without the correction for having begun at zero.
    """
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return parameter - lr * m_hat / (v_hat.sqrt() + eps), m, v
