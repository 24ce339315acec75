# SPDX-License-Identifier: Apache-2.0
"""Whole jobs on a model of a few thousand parameters; needs the trainer's environment."""

import json
import os
import signal
import time
import unittest

from .slow_embedding import Embeddings
from .slow_kinds import Kinds, Losses
from .slow_support import READY, JobCase

# Found by their names here: the slow tier runs this module.
__all__ = ["Embeddings", "Kinds", "Losses", "Training"]


@unittest.skipUnless(READY, "PyTorch, transformers or PEFT is not installed")
class Training(JobCase):
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
        # A second or two where nothing else runs.
        self.assertEqual(process.wait(timeout=30), 143)
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
            "model.load_tuned = none\n"
            "sys.exit(m.main(sys.argv[1:]))"
        )
        workdir = self.job("memory")
        self.assertEqual(self.start(workdir, code).wait(), 1)
        self.assertEqual(self.events(workdir)[-1]["code"], "out_of_memory")


if __name__ == "__main__":
    unittest.main()
