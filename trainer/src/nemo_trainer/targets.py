# SPDX-License-Identifier: Apache-2.0
"""Which layers get an adapter: NeMo's names and wildcards on the model's own layers."""

from fnmatch import fnmatchcase

from .errors import JobError

DEFAULT = ("linear_qkv", "linear_proj")

# NeMo fuses what Llama-like models keep apart.
NEMO_NAMES = {
    "q_proj": "linear_qkv",
    "k_proj": "linear_qkv",
    "v_proj": "linear_qkv",
    "o_proj": "linear_proj",
    "gate_proj": "linear_fc1",
    "up_proj": "linear_fc1",
    "down_proj": "linear_fc2",
}
# Encoders call several layers `dense`: the end of the path tells them apart.
ENCODER_NAMES = {
    "self.query": "linear_qkv",
    "self.key": "linear_qkv",
    "self.value": "linear_qkv",
    "attention.output.dense": "linear_proj",
    "intermediate.dense": "linear_fc1",
    "output.dense": "linear_fc2",
}
OLDER_NAMES = {
    "attention_qkv": "linear_qkv",
    "attention_dense": "linear_proj",
    "mlp_fc1": "linear_fc1",
    "mlp_fc2": "linear_fc2",
}


def resolve_targets(patterns: tuple[str, ...], layers: list[str]) -> list[str]:
    """The layers that `patterns` choose out of `layers` (full dotted names), as PEFT's `target_modules`.

    A pattern is tried on NeMo's names first (so `*_proj` is `linear_proj`), then on the model's own. Raises JobError
    `invalid_job` for one that chooses nothing. Where whole kinds of layers are chosen the short names are given.
    """
    chosen: set[str] = set()
    for pattern in patterns or DEFAULT:
        wanted = OLDER_NAMES.get(pattern, pattern)
        if wanted in ("all", "all_linear", "all-linear"):
            wanted = "*"
        found = {each for each in layers if _matches(_nemo(each), wanted)}
        found = found or {each for each in layers if _matches(each, wanted)}
        if not found:
            known = sorted({each.rsplit(".", 1)[-1] for each in layers} | set(NEMO_NAMES.values()))
            raise JobError(
                "invalid_job", f"lora.target_modules: {pattern!r} matches no layer; layers are {', '.join(known)}"
            )
        chosen |= found
    short = {each.rsplit(".", 1)[-1] for each in chosen}
    whole = all(each in chosen for each in layers if each.rsplit(".", 1)[-1] in short)
    return sorted(short) if whole else sorted(chosen)


def _nemo(layer: str) -> str:
    for end, name in ENCODER_NAMES.items():
        if layer.endswith(f".{end}"):
            return f"{layer.removesuffix(end)}{name}"
    path, _, leaf = layer.rpartition(".")
    return f"{path}.{NEMO_NAMES.get(leaf, leaf)}"


def _matches(layer: str, pattern: str) -> bool:
    return fnmatchcase(layer, pattern) or fnmatchcase(layer.rsplit(".", 1)[-1], pattern)
