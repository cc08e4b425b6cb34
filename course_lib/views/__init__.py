"""Every picture and widget of the course: `from course_lib.views import attention_heatmap`.

A view is loaded when it is first asked for, so that importing this package draws in neither matplotlib nor ipywidgets.
"""

from importlib import import_module

_HOME = {  # view -> the module it lives in
    "edit_explorer": "editing",
    "gradient_explorer": "recurrence",
    "cost_explorer": "recurrence",
    "receptive_field_explorer": "receptive",
    "influence_view": "anatomy",
    "model_map": "anatomy",
    "alignment_view": "inside",
    "attention_in_training": "inside",
    "head_ablation": "ablation",
    "occlusion_view": "inside",
    "rollout_view": "inside",
    "heads_side_by_side": "heads",
    "depth_explorer": "depth",
    "layer_norm_explorer": "depth",
    "concept_map": "drawings",
    "beam_explorer": "decoding",
    "beam_tree": "decoding",
    "sampling_explorer": "decoding",
    "sampling_bars": "decoding",
    "bleu_explorer": "scores",
    "schedule_view": "training",
    "plot_metrics": "training",
    "plot_scores_by_time": "training",
    "TrainingDashboard": "training",
    "descent_explorer": "descent",
    "timeline": "drawings",
    "attention_heatmap": "attention",
    "translate_and_attend": "attention",
    "alignment_stepper": "alignment",
    "bottleneck_explorer": "bottleneck",
    "attention_stages": "stages",
    "bertviz_view": "bertviz_bridge",
    "bpe_explorer": "merges",
    "embedding_map": "embeddings",
    "kinds_of_words": "embeddings",
    "batch_explorer": "batching",
    "mask_explorer": "masks",
    "predict": "prediction",
    "predict_number": "prediction",
    "scaling_explorer": "scaling",
    "sinusoid_explorer": "positions",
    "alibi_explorer": "schemes",
    "distance_explorer": "schemes",
    "rotary_explorer": "schemes",
}
__all__ = sorted(_HOME)


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"course_lib.views has no view {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__():
    return __all__
