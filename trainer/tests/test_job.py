# SPDX-License-Identifier: Apache-2.0
import json
import os
import tempfile
import unittest

from nemo_trainer.errors import JobError
from nemo_trainer.events import EventLog
from nemo_trainer.job import parse_job
from nemo_trainer.targets import resolve_targets

LEAVES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LAYERS = [f"model.layers.{n}.block.{leaf}" for n in range(2) for leaf in LEAVES]


def raw(**changes):
    return {"model_dir": "/m/base", "training_files": ["/d/a.jsonl"], **changes}


class Job(unittest.TestCase):
    def test_defaults(self):
        job = parse_job(raw(hyperparameters={"learning_rate": 1e-3}))
        self.assertEqual((job.base_model, job.prompt_template), ("base", "{prompt} {completion}"))
        self.assertAlmostEqual(job.hyperparameters.min_learning_rate, 1e-4)

    def test_nulls_count_as_absent(self):
        hp = {"max_steps": None, "warmup_steps": None, "val_check_interval": None, "lora": None, "optimizer": None}
        self.assertEqual(parse_job(raw(hyperparameters=hp, threads=None)).hyperparameters.max_steps, -1)

    def test_the_fingerprint_is_of_what_changes_the_result(self):
        self.assertEqual(parse_job(raw(threads=1)).fingerprint, parse_job(raw(threads=2)).fingerprint)
        self.assertNotEqual(parse_job(raw(seed=1)).fingerprint, parse_job(raw(seed=2)).fingerprint)

    def test_wrong_values_are_named(self):
        cases = [
            (raw(training_files=[]), "training_files"),
            (raw(training_files="x"), "training_files"),
            (raw(model_dir=""), "model_dir"),
            (raw(max_seq_length=0), "max_seq_length"),
            (raw(hyperparameters={"learning_rate": 0}), "learning_rate"),
            (raw(hyperparameters={"learning_rate": "1"}), "learning_rate"),
            (raw(hyperparameters={"epochs": 0}), "epochs"),
            (raw(hyperparameters={"optimizer": "sgd"}), "optimizer"),
            (raw(hyperparameters={"min_learning_rate": 1}), "min_learning_rate"),
            (raw(hyperparameters={"training_type": "grpo"}), "use sft or dpo with lora, lora_merged, all_weights"),
            (raw(hyperparameters={"finetuning_type": "p_tuning"}), "use sft or dpo with lora"),
            (raw(hyperparameters={"sequence_packing_enabled": 1}), "sequence_packing_enabled"),
            (raw(hyperparameters={"sft": {"hidden_dropout": 1.5}}), "hidden_dropout"),
            (raw(hyperparameters={"dpo": {"max_grad_norm": 0}}), "max_grad_norm"),
            (raw(hyperparameters={"dpo": {"ref_policy_kl_penalty": -1}}), "ref_policy_kl_penalty"),
            (raw(hyperparameters={"lora": {"adapter_dropout": 1.5}}), "adapter_dropout"),
            (raw(hyperparameters={"lora": {"target_modules": "q_proj"}}), "target_modules"),
        ]
        for value, name in cases:
            with self.assertRaises(JobError) as caught:
                parse_job(value)
            self.assertIn(name, caught.exception.message)


class Targets(unittest.TestCase):
    def test_default_is_attention(self):
        self.assertEqual(resolve_targets((), LAYERS), ["k_proj", "o_proj", "q_proj", "v_proj"])

    def test_nemo_names_and_the_models_own(self):
        self.assertEqual(resolve_targets(("linear_fc1",), LAYERS), ["gate_proj", "up_proj"])
        self.assertEqual(resolve_targets(("attention_dense",), LAYERS), ["o_proj"])
        self.assertEqual(resolve_targets(("*_proj",), LAYERS), ["o_proj"])
        self.assertEqual(resolve_targets(("q_proj", "v_proj"), LAYERS), ["q_proj", "v_proj"])
        self.assertEqual(resolve_targets(("all-linear",), LAYERS), sorted(LEAVES))

    def test_single_layers(self):
        self.assertEqual(
            resolve_targets(("*.layers.0.*.linear_qkv",), LAYERS),
            [f"model.layers.0.block.{leaf}" for leaf in ("k_proj", "q_proj", "v_proj")],
        )

    def test_a_name_of_no_layer_is_refused(self):
        with self.assertRaisesRegex(JobError, "'mamba' matches no layer; layers are .*q_proj"):
            resolve_targets(("q_proj", "mamba"), LAYERS)


class Events(unittest.TestCase):
    def test_appends_and_closes_a_torn_line(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "events.jsonl")
            with open(path, "w") as file:
                file.write('{"event": "progr')
            log = EventLog(path)
            log.emit("progress", step=1, train_loss=None)
            log.close()
            with open(path) as file:
                lines = file.read().split("\n")
            event = json.loads(lines[1])
            self.assertEqual((event["event"], event["step"], "train_loss" in event), ("progress", 1, False))


if __name__ == "__main__":
    unittest.main()
