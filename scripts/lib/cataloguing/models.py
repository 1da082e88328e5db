"""Model types of transformers, the classes that a checkpoint of each may hold, built on `meta`."""

from __future__ import annotations

import copy
import importlib
import inspect
import re
from functools import cache

import torch
import transformers
from transformers import PretrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

# A type's readers and its final norm are looked for in the first of these that it has.
FIRST = [
    f"MODEL_FOR_{kind}_MAPPING_NAMES"
    for kind in (
        *("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SEQ_TO_SEQ_CAUSAL_LM", "MASKED_LM"),
        *("SPEECH_SEQ_2_SEQ", "CTC", "PRETRAINING", "IMAGE_CLASSIFICATION"),
    )
]


@cache
def auto_maps() -> list[dict]:
    names = [name for name in vars(modeling_auto) if name.endswith("MAPPING_NAMES")]
    names = [name for name in names if name.startswith("MODEL_") and name not in FIRST]
    return [getattr(modeling_auto, name) for name in [*FIRST, "MODEL_MAPPING_NAMES", *names]]


def model_types() -> list[str]:
    return sorted(CONFIG_MAPPING_NAMES)


def class_names(model_type: str) -> list[str]:
    """Of the auto classes; without any, those of its own module that take its configuration."""
    found = [mapping[model_type] for mapping in auto_maps() if model_type in mapping]
    names = [name for entry in found for name in ([entry] if isinstance(entry, str) else entry)]
    if names:
        return list(dict.fromkeys(names))
    config_class = CONFIG_MAPPING[model_type]
    try:
        module = importlib.import_module(
            config_class.__module__.replace(".configuration_", ".modeling_")
        )
    except ImportError:
        return []
    for name, value in vars(module).items():
        if (
            inspect.isclass(value)
            and issubclass(value, PreTrainedModel)
            and getattr(value, "config_class", None) is config_class
            and not name.endswith("PreTrainedModel")
        ):
            names.append(name)
    return names


def resolve(name: str, model_type: str) -> type[PreTrainedModel]:
    if hasattr(transformers, name):
        return getattr(transformers, name)
    module = CONFIG_MAPPING[model_type].__module__.replace(".configuration_", ".modeling_")
    return getattr(importlib.import_module(module), name)


# What the default configuration leaves open, although the model does not build without it. Sizes do
# not matter here: patterns and kinds do not depend on them.
# The backbones that need timm have ResNet's in their place, whose batch norms nobody predicts.
RESNET = {"model_type": "resnet", "out_features": ["stage2", "stage3", "stage4"]}
DETR = ("conditional_detr", "dab-detr", "deformable_detr", "detr", "table-transformer")
GIVEN: dict[str, dict] = {
    **{model_type: {"backbone_config": RESNET} for model_type in DETR},
    "autoformer": {"prediction_length": 24},
    "dots1": {"n_routed_experts": 8, "n_shared_experts": 1, "head_dim": 128},
    "esm": {"vocab_size": 33, "pad_token_id": 1},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "informer": {"prediction_length": 24},
    "ministral": {"head_dim": 128},
    "nemotron": {"num_key_value_heads": 48},
    "time_series_transformer": {"prediction_length": 24},
}


def configuration(model_type: str):
    return CONFIG_MAPPING[model_type](**copy.deepcopy(GIVEN.get(model_type, {})))


def build(name: str, model_type: str, config, dtype=torch.float32) -> PreTrainedModel:
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"), torch.no_grad(), no_init_weights():
            model = resolve(name, model_type)(config).eval()
            model.tie_weights()
            return model
    finally:
        torch.set_default_dtype(torch.float32)


COUNTS = re.compile(r"(num_|n_|encoder_|decoder_)(hidden_)?layers?|depth")
FEW = 3  # blocks: a first, a last, and one between


def with_few_blocks(config):
    """The configuration with FEW blocks, in the models inside too: for a quick run."""
    config.use_cache = False
    for key, value in list(vars(config).items()):
        if isinstance(value, PretrainedConfig):
            with_few_blocks(value)
        elif COUNTS.fullmatch(key) and isinstance(value, int) and value > FEW:
            setattr(config, key, FEW)
        elif key in ("layer_types", "mlp_layer_types") and isinstance(value, list):
            setattr(config, key, value[:FEW])
    return config


def saved_names(model: PreTrainedModel, names: list[str]) -> dict[str, str]:
    """What save_pretrained() calls these tensors of the model, and so most files of the hub do."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import PrefixChange, WeightConverter, apply_renamings

    changes = [
        change.reverse_transform()
        for change in reversed(get_model_conversion_mapping(model, add_legacy=False))
        if not isinstance(change, (PrefixChange, WeightConverter))
    ]
    return {name: apply_renamings(name, changes) for name in names}
