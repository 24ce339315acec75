# SPDX-License-Identifier: Apache-2.0
"""Whole jobs of each kind of training, and their losses against plain PyTorch; needs the trainer's environment."""

import json
import math
import os
import unittest

from .slow_support import READY, WORDS, JobCase

TEXTS = (("one two three four", 2), ("five", 1), ("six seven eight nine ten one", 3), ("seven two", 1))


def rows_of(folder):
    from nemo_trainer.encode import Row
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for text, masked in TEXTS:
        ids = tokenizer(text)["input_ids"] + [1]
        rows.append(Row(ids, [i >= masked for i in range(len(ids))]))
    return rows


def tuned(folder, **hyperparameters):
    import torch
    from nemo_trainer.job import parse_job
    from nemo_trainer.model import load_tuned

    job = parse_job({"model_dir": folder, "training_files": ["x"], "seed": 1, "hyperparameters": hyperparameters})
    return load_tuned(job, torch.device("cpu"), torch.float32), job.hyperparameters


def plain_losses(folder, rows):
    import torch
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(folder)
    out = []
    for row in rows:
        labels = torch.tensor([[i if on else -100 for i, on in zip(row.ids, row.trained, strict=True)]])
        out.append(plain(input_ids=torch.tensor([row.ids]), labels=labels).loss.item() * row.trained_count)
    return out


@unittest.skipUnless(READY, "PyTorch, transformers or PEFT is not installed")
class Losses(JobCase):
    def grads(self, model):
        import torch

        return torch.cat([each.grad.flatten() for each in model.parameters() if each.requires_grad])

    def test_loss_is_that_of_transformers_however_rows_are_grouped(self):
        import torch
        from nemo_trainer import loss

        rows = rows_of(self.model)
        expected = plain_losses(self.model, rows)
        model = tuned(self.model)[0].model
        together = loss.row_losses(model, loss.collate(rows, 1)).tolist()
        packed = loss.row_losses(model, loss.pack(rows)).tolist()
        apart = [loss.row_losses(model, loss.collate([row], 1)).item() for row in rows]
        for losses in (together, packed, apart):
            for got, wanted in zip(losses, expected, strict=True):
                self.assertAlmostEqual(got, wanted, places=3)
        grads = []
        limit = loss.HEAD_TOKENS
        try:
            for loss.HEAD_TOKENS in (1000, 4):
                for batch in (loss.collate(rows, 1), loss.pack(rows)):
                    model.zero_grad()
                    loss.row_losses(model, batch).sum().backward()
                    grads.append(self.grads(model))
        finally:
            loss.HEAD_TOKENS = limit
        for each in grads[1:]:
            self.assertTrue(torch.allclose(grads[0], each, rtol=1e-4, atol=1e-6))

    def test_attention_of_packed_rows_never_crosses_them(self):
        import torch
        from nemo_trainer import loss
        from nemo_trainer.encode import Row

        first, second = rows_of(self.model)[0], rows_of(self.model)[2]
        model = tuned(self.model, finetuning_type="all_weights")[0].model
        other = Row([(i + 7) % 200 + 2 for i in first.ids], first.trained)
        # Another row before it changes nothing of a row, to the last bit; without the mask it would.
        kept = [loss.row_losses(model, loss.pack([each, second]))[1].item() for each in (first, other)]
        self.assertEqual(kept[0], kept[1])
        batch = loss.pack([first, second])
        open_mask = torch.ones_like(batch.mask[0, 0]).tril()[None, None]
        leaking = loss.Batch(batch.ids, batch.labels, batch.owner, 2, batch.positions, open_mask)
        self.assertNotAlmostEqual(loss.row_losses(model, leaking)[1].item(), kept[0], places=4)

    def test_preference_loss_is_the_papers(self):
        import torch
        from nemo_trainer.encode import Pair
        from nemo_trainer.objective import Preference

        a, b, c, d = rows_of(self.model)
        pairs = [Pair(a, b), Pair(c, d)]
        dpo = {"ref_policy_kl_penalty": 0.3, "preference_loss_weight": 2.0, "sft_loss_weight": 0.5}
        before = [-each for each in plain_losses(self.model, [a, b, c, d])]
        for average in (False, True):
            settings = {**dpo, "preference_average_log_probs": average, "sft_average_log_probs": average}
            model, hp = tuned(self.model, training_type="dpo", finetuning_type="lora", dpo=settings)
            objective = Preference(model, hp, pairs, [], 1)
            objective.prepare()
            # At the start policy and reference agree: the loss is log 2, and no pair is right.
            value, right = objective.loss([0, 1])
            sft = [-before[0], -before[2]]
            sizes = [each.trained_count for each in (a, b, c, d)]
            if average:
                sft = [sft[0] / sizes[0], sft[1] / sizes[2]]
            self.assertAlmostEqual(value.item(), 2 * 2 * math.log(2) + 0.5 * sum(sft), places=3)
            self.assertEqual(right, 0)
            with torch.no_grad():
                for name, each in model.model.named_parameters():
                    if "lora_B" in name:
                        each.add_(0.05)
            model.model.eval()
            from nemo_trainer.loss import collate, row_losses

            now = [-row_losses(model.model, collate([row], 1)).item() for row in (a, b, c, d)]
            gains = [(n - o) / (size if average else 1) for n, o, size in zip(now, before, sizes, strict=True)]
            margins = [0.3 * (gains[0] - gains[1]), 0.3 * (gains[2] - gains[3])]
            sft = [-now[0] / (sizes[0] if average else 1), -now[2] / (sizes[2] if average else 1)]
            expected = sum(2 * math.log(1 + math.exp(-m)) for m in margins) + 0.5 * sum(sft)
            value, right = objective.loss([0, 1])
            self.assertAlmostEqual(value.item(), expected, places=3)
            self.assertEqual(right, sum(m > 0 for m in margins))


@unittest.skipUnless(READY, "PyTorch, transformers or PEFT is not installed")
class Kinds(JobCase):
    def ends(self, workdir):
        self.assertEqual(self.start(workdir).wait(), 0, self.events(workdir)[-1:])
        return self.events(workdir)

    def last(self, workdir, event, key):
        return [e[key] for e in self.events(workdir) if e["event"] == event][-1]

    def test_packing_trains_to_the_same_losses(self):
        plain = self.job("plain", {"lora": {"adapter_dim": 4}})
        packed = self.job("packed", {"lora": {"adapter_dim": 4}, "sequence_packing_enabled": True})
        self.ends(plain)
        self.ends(packed)
        left, right = self.losses(plain), self.losses(packed)
        self.assertEqual(left.keys(), right.keys())
        for key, value in left.items():
            self.assertAlmostEqual(value, right[key], places=2)
        self.assertFalse([e for e in self.events(packed) if e["event"] == "warning"])

    def test_training_ends_early_when_validation_gets_no_better(self):
        workdir = self.job("early", {"epochs": 40, "learning_rate": 1e-9, "min_learning_rate": 1e-10})
        events = self.ends(workdir)
        # The first epoch is the best; ten more bring no improvement of 0.001.
        self.assertEqual(events[-1]["steps"], 11 * 6)
        self.assertTrue(any("stopped early" in e.get("message", "") for e in events))

    def test_dropouts_and_weight_decay_change_the_training_and_not_the_validation_of_the_base(self):
        base = {"epochs": 1, "max_steps": 2, "lora": {"adapter_dim": 4}}
        outcomes = {}
        for name, change in (
            ("none", {}), ("attention", {"sft": {"attention_dropout": 0.3}}),
            ("hidden", {"sft": {"hidden_dropout": 0.3}}), ("decay", {"weight_decay": 0.9, "max_steps": 6}),
            ("flat", {"optimizer": "adam_with_flat_lr", "max_steps": 6}), ("again", {}),
        ):  # fmt: skip
            workdir = self.job(f"drop-{name}", {**base, **change})
            self.ends(workdir)
            outcomes[name] = self.losses(workdir)["progress", 1], self.adapter(workdir)
        self.assertEqual(outcomes["none"], outcomes["again"])
        self.assertEqual(outcomes["none"][0], outcomes["decay"][0])
        self.assertNotEqual(outcomes["none"][0], outcomes["attention"][0])
        self.assertNotEqual(outcomes["none"][0], outcomes["hidden"][0])
        self.assertEqual(len({each[1] for each in outcomes.values()}), 5)

    def test_all_weights_and_merged_are_whole_models_that_learnt_and_a_stopped_one_ends_the_same(self):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        lora = self.job("lora", {"lora": {"adapter_dim": 4}})
        self.ends(lora)
        for kind in ("all_weights", "lora_merged"):
            workdir = self.job(kind, {"finetuning_type": kind, "lora": {"adapter_dim": 4}})
            self.ends(workdir)
            output = os.path.join(workdir, "output")
            self.assertLess(self.last(workdir, "validation", "val_loss"), self.losses(workdir)["validation", 6])
            self.assertIn("model.safetensors", os.listdir(output))
            self.assertNotIn("adapter_config.json", os.listdir(output))
            model = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(output)
            with open(os.path.join(output, "config.json")) as file:
                config = file.read()
            self.assertNotIn(self.folder, config)
            total, tokens = 0.0, 0
            with open(os.path.join(self.folder, "validation.jsonl")) as file:
                rows = [json.loads(line) for line in file]
            for row in rows:
                prompt = tokenizer(row["prompt"])["input_ids"]
                ids = tokenizer(f"{row['prompt']} {row['completion']}")["input_ids"] + [1]
                labels = [-100] * len(prompt) + ids[len(prompt) :]
                loss = model(input_ids=torch.tensor([ids]), labels=torch.tensor([labels])).loss.item()
                total, tokens = total + loss * (len(ids) - len(prompt)), tokens + len(ids) - len(prompt)
            # The model that was written answers as the one that was trained, but for bf16.
            self.assertAlmostEqual(total / tokens, self.events(workdir)[-1]["val_loss"], delta=0.05)
        self.assertEqual(self.losses(lora), self.losses(os.path.join(self.folder, "lora_merged")))

        stopped = self.job("all-stopped", {"finetuning_type": "all_weights"}, checkpoint_interval_s=0)
        process = self.start(stopped)
        while not any(e["event"] == "progress" and e["step"] >= 4 for e in self.events(stopped)):
            self.assertIsNone(process.poll())
        process.kill()
        process.wait()
        self.ends(stopped)
        self.assertEqual(self.losses(stopped), self.losses(os.path.join(self.folder, "all_weights")))

    def test_preferences_are_learnt(self):
        path = os.path.join(self.folder, "pairs.jsonl")
        with open(path, "w") as file:
            for i in range(24):
                prompt = WORDS[i % 10]
                file.write(json.dumps({"prompt": prompt, "chosen_response": " six", "rejected_response": " two"}) + "\n")
        for finetuning in ("lora", "all_weights"):
            workdir = self.job(
                f"dpo-{finetuning}",
                {"training_type": "dpo", "finetuning_type": finetuning, "dpo": {"ref_policy_kl_penalty": 1.0},
                 "learning_rate": 0.03, "epochs": 5, "lora": {"adapter_dim": 8, "target_modules": ["all-linear"]}},
                training_files=[path], validation_files=[path],
            )  # fmt: skip
            events = self.ends(workdir)
            validations = [e for e in events if e["event"] == "validation"]
            self.assertLess(validations[-1]["val_loss"], 0.5 * math.log(2))
            self.assertEqual(validations[-1]["val_accuracy"], 1.0)
            first = next(e for e in events if e["event"] == "progress")
            self.assertAlmostEqual(first["train_loss"], math.log(2), places=5)

    def adapter(self, workdir):
        with open(os.path.join(workdir, "output/adapter_model.safetensors"), "rb") as file:
            return file.read()
