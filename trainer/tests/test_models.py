# SPDX-License-Identifier: Apache-2.0
import os
import tempfile
import threading
import unittest
from unittest import mock

from nemo_trainer.models import FORMAT, find_model

MODEL = {"id": "acme/base", "kind": "gguf", "file": "base.gguf", "sha256": "0123456789abcdef" * 4}


class Unreachable:
    def download(self, *_args):
        raise AssertionError("the customizer was asked for weights")


class Models(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.volume, self.image = os.path.join(folder.name, "mount"), os.path.join(folder.name, "image")
        variables = {"NEMO_MODELS_PATH": self.volume, "NEMO_MODEL_DIR": self.image}
        patch = mock.patch.dict(os.environ, variables)
        patch.start()
        self.addCleanup(patch.stop)

    def find(self, model=MODEL):
        return find_model(model, Unreachable(), self.image, threading.Event(), lambda _message: None)

    def make(self, *parts, weights=False):
        folder = os.path.join(*parts)
        os.makedirs(folder)
        for name in ("config.json", *(("model.safetensors",) if weights else ())):
            with open(os.path.join(folder, name), "w") as file:
                file.write("{}")
        return folder

    def test_the_checkpoint_of_the_image_is_used_when_it_is_of_these_weights(self):
        ready = self.make(self.image, "checkpoints", f"{MODEL['sha256'][:16]}-{FORMAT}")
        self.assertEqual(self.find(), ready)
        with self.assertRaisesRegex(AssertionError, "asked for weights"):
            self.find({**MODEL, "sha256": "f" * 64})

    def test_a_folder_of_the_models_volume_comes_first(self):
        self.make(self.image, "checkpoints", f"{MODEL['sha256'][:16]}-{FORMAT}")
        folder = self.make(self.volume, "acme", "base", weights=True)
        self.assertEqual(self.find(), folder)

    def test_weights_that_are_a_folder_are_asked_of_the_volume(self):
        with self.assertRaisesRegex(SystemExit, "modelPVC"):
            self.find({**MODEL, "kind": "hf"})


if __name__ == "__main__":
    unittest.main()
