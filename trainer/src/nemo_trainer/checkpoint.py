# SPDX-License-Identifier: Apache-2.0
"""GGUF weights back to a Hugging Face folder that can be trained: `python -m nemo_trainer.checkpoint GGUF OUTDIR`."""

import os
import sys


def convert(gguf_path: str, out_dir: str) -> None:
    """Writes config, tokenizer and bf16 weights of the GGUF file at `gguf_path` into `out_dir`.

    The quantised weights are expanded, so training sees the values that the engine computes with.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder, name = os.path.split(os.path.abspath(gguf_path))
    quantised = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = AutoConfig.from_pretrained(folder, gguf_file=name)
    # save_pretrained refuses a model that was loaded from quantised weights: a fresh one takes its values.
    for each in (config, quantised.config):
        if hasattr(each, "quantization_config"):
            del each.quantization_config
    config.dtype = torch.bfloat16
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, unexpected = fresh.load_state_dict(quantised.state_dict(), strict=False)
    tied = set(getattr(fresh, "_tied_weights_keys", None) or ())
    if unexpected or set(missing) - tied:
        raise SystemExit(f"the weights do not fit the architecture: missing {missing}, unexpected {unexpected}")
    fresh.to(torch.bfloat16).save_pretrained(out_dir)
    AutoTokenizer.from_pretrained(folder, gguf_file=name).save_pretrained(out_dir)
    for each in os.listdir(out_dir):
        os.chmod(os.path.join(out_dir, each), 0o644)


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: python -m nemo_trainer.checkpoint GGUF OUTDIR", file=sys.stderr)
        return 2
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    convert(sys.argv[1], sys.argv[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
