"""How the learning rate moves."""


def noam_rate(step: int, d_model: int, warmup: int) -> float:
    """The schedule of the Transformer paper: D^-0.5 · min(step^-0.5, step · warmup^-1.5) (Vaswani et al. 2017, eq. 3).

    It rises linearly for ``warmup`` steps, to (D · warmup)^-0.5, and falls with the square root of the step.

    Args:
        step: the step about to be taken, counted from 1.
        d_model: width of the model (D).
        warmup: steps of rising.
    """
    return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)


def warmup_linear_rate(step: int, progress: float, peak: float, warmup: int) -> float:
    """Rise linearly to ``peak`` in ``warmup`` steps, and fall linearly to zero at the end of training.

    Args:
        step: the step about to be taken, counted from 1.
        progress: how much of the training is done, from 0 to 1: the share of the steps, or of the promised minutes.
        peak: the highest rate.
        warmup: steps of rising; 0 starts at the peak.
    """
    rising = min(1.0, step / warmup) if warmup else 1.0
    return peak * rising * max(0.0, 1.0 - progress)
