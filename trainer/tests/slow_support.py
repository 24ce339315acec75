# SPDX-License-Identifier: Apache-2.0
"""Jobs on a model of a few thousand parameters; needs the trainer's environment."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

READY = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "peft"))
SOURCE = os.path.join(os.path.dirname(__file__), "../src")
WORDS = "one two three four five six seven eight nine ten".split()


def make_model(folder: str) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(WORDS, trainers.BpeTrainer(special_tokens=specials, initial_alphabet=alphabet))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=specials[0], eos_token=specials[1], pad_token=specials[1]
    ).save_pretrained(folder)
    import torch

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer.get_vocab()), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


class JobCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.model = os.path.join(cls.folder, "model")
        make_model(cls.model)
        sys.path.insert(0, SOURCE)
        for name, start, rows in (("train", 0, 21), ("validation", 100, 5)):
            with open(os.path.join(cls.folder, f"{name}.jsonl"), "w") as file:
                for i in range(start, start + rows):
                    words = [WORDS[(i + k) % 10] for k in range(i % 7 + 1)]
                    file.write(json.dumps({"prompt": " ".join(words), "completion": " ".join(reversed(words))}) + "\n")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def job(self, name, hyperparameters=None, **changes):
        workdir = os.path.join(self.folder, name)
        os.makedirs(workdir)
        job = {
            "job_id": "cust-1",
            "base_model": "acme/tiny",
            "model_dir": self.model,
            "training_files": [os.path.join(self.folder, "train.jsonl")],
            "validation_files": [os.path.join(self.folder, "validation.jsonl")],
            "max_seq_length": 64,
            "seed": 7,
            "threads": 1,
            "hyperparameters": {
                "epochs": 3, "batch_size": 4, "learning_rate": 0.02, "log_every_n_steps": 1,
                "lora": {"adapter_dim": 4, "adapter_dropout": 0.1}, **(hyperparameters or {}),
            },
            **changes,
        }  # fmt: skip
        with open(os.path.join(workdir, "job.json"), "w") as file:
            json.dump(job, file)
        return workdir

    def start(self, workdir, code=None):
        command = ["-c", code] if code else ["-m", "nemo_trainer"]
        environment = {**os.environ, "PYTHONPATH": SOURCE}
        return subprocess.Popen([sys.executable, *command, workdir], env=environment, stderr=subprocess.DEVNULL)

    def events(self, workdir):
        path = os.path.join(workdir, "events.jsonl")
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return [json.loads(line) for line in file.read().split("\n") if line.strip()]

    def losses(self, workdir):
        keys = {"progress": "train_loss", "validation": "val_loss"}
        return {(e["event"], e["step"]): e[keys[e["event"]]] for e in self.events(workdir) if e["event"] in keys}

    def adapter(self, workdir):
        with open(os.path.join(workdir, "output/adapter_model.safetensors"), "rb") as file:
            return file.read()
