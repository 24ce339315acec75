# SPDX-License-Identifier: Apache-2.0
"""Whole jobs on a model of a few thousand parameters; needs the trainer's environment."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
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


@unittest.skipUnless(READY, "PyTorch, transformers or PEFT is not installed")
class Training(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.model = os.path.join(cls.folder, "model")
        make_model(cls.model)
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

    def test_a_job_learns_and_writes_a_peft_repository_and_a_killed_one_ends_the_same(self):
        whole = self.job("whole")
        self.assertEqual(self.start(whole).wait(), 0)
        first, *_, last = self.events(whole)
        self.assertEqual((first["event"], first["steps_total"], first["steps_per_epoch"]), ("started", 18, 6))
        self.assertEqual((last["event"], last["steps"], last["best_epoch"]), ("completed", 18, 3))
        losses = self.losses(whole)
        self.assertLess(losses["validation", 18], losses["validation", 6])
        with open(os.path.join(whole, "output/adapter_config.json")) as file:
            config = json.load(file)
        self.assertEqual(config["base_model_name_or_path"], "acme/tiny")
        self.assertEqual(config["target_modules"], ["k_proj", "o_proj", "q_proj", "v_proj"])
        with open(os.path.join(whole, "output/README.md")) as file:
            self.assertNotIn(self.folder, file.read())
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(self.model), os.path.join(whole, "output")
        )

        killed = self.job("killed", checkpoint_interval_s=0)
        process = self.start(killed)
        while not any(e["event"] == "progress" and e["step"] >= 7 for e in self.events(killed)):
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertEqual(self.start(killed).wait(), 0)
        resumed = [e["resumed_from_step"] for e in self.events(killed) if e["event"] == "started"][1]
        self.assertGreaterEqual(resumed, 6)
        self.assertEqual(self.losses(killed), losses)
        self.assertEqual(self.adapter(killed), self.adapter(whole))

    def test_sigterm_ends_within_seconds_with_a_checkpoint(self):
        workdir = self.job("stopped", {"epochs": 2000})
        process = self.start(workdir)
        while not any(e["event"] == "progress" for e in self.events(workdir)):
            self.assertIsNone(process.poll())
            time.sleep(0.05)
        process.terminate()
        self.assertEqual(process.wait(timeout=4), 143)
        self.assertIn("checkpoint", [e["event"] for e in self.events(workdir)])
        self.assertFalse(os.path.exists(os.path.join(workdir, "output")))

    def test_bad_data_fails_naming_file_and_line_before_anything_is_loaded(self):
        path = os.path.join(self.folder, "broken.jsonl")
        with open(path, "w") as file:
            file.write('{"prompt": "a", "completion": "b"}\n{"prompt": "a"}\n')
        workdir = self.job("bad", training_files=[path])
        self.assertEqual(self.start(workdir).wait(), 1)
        (event,) = self.events(workdir)
        self.assertEqual((event["event"], event["code"]), ("failed", "invalid_data"))
        self.assertIn("broken.jsonl, line 2", event["message"])

    def test_missing_memory_is_told_as_such(self):
        code = (
            "import sys, resource, nemo_trainer.__main__ as m, nemo_trainer.model as model\n"
            "def none(*a): raise RuntimeError(\"DefaultCPUAllocator: can't allocate memory: you tried ...\")\n"
            "model.load_model = none\n"
            "sys.exit(m.main(sys.argv[1:]))"
        )
        workdir = self.job("memory")
        self.assertEqual(self.start(workdir, code).wait(), 1)
        self.assertEqual(self.events(workdir)[-1]["code"], "out_of_memory")

    def test_loss_is_that_of_transformers_however_rows_are_grouped(self):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        sys.path.insert(0, SOURCE)
        from nemo_trainer import model
        from nemo_trainer.encode import Row
        from nemo_trainer.job import parse_job
        from nemo_trainer.model import collate, load_model, summed_loss

        tokenizer = AutoTokenizer.from_pretrained(self.model)
        rows = []
        for text, masked in (("one two three four", 2), ("five", 1), ("six seven eight nine ten one", 3)):
            ids = tokenizer(text)["input_ids"] + [1]
            rows.append(Row(ids, [i >= masked for i in range(len(ids))]))
        job = parse_job({"model_dir": self.model, "training_files": ["x"], "seed": 1})
        tuned = load_model(job, torch.device("cpu"), torch.float32)
        together = summed_loss(tuned, *collate(rows, 1)).item()
        apart = sum(summed_loss(tuned, *collate([row], 1)).item() for row in rows)
        plain = AutoModelForCausalLM.from_pretrained(self.model)
        expected = 0.0
        for row in rows:
            labels = torch.tensor([[i if on else -100 for i, on in zip(row.ids, row.trained, strict=True)]])
            expected += plain(input_ids=torch.tensor([row.ids]), labels=labels).loss.item() * row.trained_count
        self.assertAlmostEqual(together, expected, places=3)
        self.assertAlmostEqual(apart, expected, places=3)
        grads = []
        for limit in (1000, 4):
            model.HEAD_TOKENS = limit
            tuned.zero_grad()
            loss = summed_loss(tuned, *collate(rows, 1))
            self.assertAlmostEqual(loss.item(), expected, places=3)
            loss.backward()
            grads.append(torch.cat([each.grad.flatten() for each in tuned.parameters() if each.requires_grad]))
        self.assertTrue(torch.allclose(grads[0], grads[1], rtol=1e-4, atol=1e-6))


if __name__ == "__main__":
    unittest.main()
