# SPDX-License-Identifier: Apache-2.0
"""Embedding models: the loss against its formula, and whole jobs on an encoder of a few thousand parameters."""

import json
import math
import os
import unittest

from .slow_support import READY, WORDS, JobCase

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Three texts for two queries, of which the first has two right answers.
ROWS = (
    ((2, 5, 3), (2, 9, 10, 3), ((2, 11, 3), (2, 12, 12, 3))),
    ((2, 6, 7, 3), (2, 12, 12, 3), ()),
    ((2, 5, 3), (2, 13, 3), ()),
)


def make_encoder(folder):
    import torch
    from transformers import BertConfig, BertModel

    words = [*SPECIAL, *WORDS, *(f"{word}th" for word in WORDS)]
    os.makedirs(folder)
    with open(os.path.join(folder, "vocab.txt"), "w") as file:
        file.write("\n".join(words) + "\n")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=16, pad_token_id=0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)


def vectors_of(folder, texts):
    """As anybody would with transformers: a text at a time, the mean of its states."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    model.eval()
    out = []
    with torch.no_grad():
        for text in texts:
            ids = tokenizer(text)["input_ids"] if isinstance(text, str) else list(text)
            mean = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
            out.append((mean / mean.norm()).tolist())
    return out


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


@unittest.skipUnless(READY, "PyTorch, transformers or PEFT is not installed")
class Embeddings(JobCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.encoder = os.path.join(cls.folder, "encoder")
        make_encoder(cls.encoder)
        # The answer to a pair of words is their ordinals; the other way round, or with one of them, it is none.
        pairs = [(a, b) for a in WORDS for b in WORDS if a != b]
        for name, wanted in (("train", range(0, 90, 2)), ("validation", range(1, 90, 6))):
            with open(os.path.join(cls.folder, f"{name}-pairs.jsonl"), "w") as file:
                for i in wanted:
                    a, b = pairs[i]
                    row = {"query": f"{a} {b}", "pos_doc": f"{a}th {b}th", "neg_doc": [f"{a}th {a}th"]}
                    file.write(json.dumps(row) + "\n")

    def embedding_job(self, name, hyperparameters, **changes):
        files = {f"{kind}_files": [os.path.join(self.folder, f"{short}-pairs.jsonl")]
                 for kind, short in (("training", "train"), ("validation", "validation"))}  # fmt: skip
        settings = {"epochs": 12, "batch_size": 16, "learning_rate": 0.01, **hyperparameters}
        base = {"task": "embedding", "model_dir": self.encoder, "base_model": "acme/encoder"}
        return self.job(name, settings, **{**base, **files, **changes})

    def ends(self, workdir):
        self.assertEqual(self.start(workdir).wait(), 0, self.events(workdir)[-1:])
        return self.events(workdir)

    def objective(self, rows=ROWS, **parameters):
        import torch
        from nemo_trainer.contrastive import make_contrastive
        from nemo_trainer.job import parse_job
        from nemo_trainer.model import load_tuned
        from nemo_trainer.triplets import Triplet

        job = parse_job({
            "task": "embedding", "model_dir": self.encoder, "training_files": ["x"], "dataset_parameters": parameters,
            "hyperparameters": {"finetuning_type": "all_weights", "batch_size": 2},
        })  # fmt: skip
        tuned = load_tuned(job, torch.device("cpu"), torch.float32)
        tuned.model.eval()
        triplets = [Triplet(*row) for row in rows]
        return make_contrastive(tuned, job, triplets, triplets, 0)[0]

    def test_the_loss_is_the_formulas_and_right_answers_are_no_negatives(self):
        documents = [ROWS[0][1], *ROWS[0][2], ROWS[2][1]]
        query = dict(zip(("a", "b"), vectors_of(self.encoder, [ROWS[0][0], ROWS[1][0]]), strict=True))
        cosines = {
            name: [dot(vector, each) / 0.05 for each in vectors_of(self.encoder, documents)]
            for name, vector in query.items()
        }
        # Query, the place of its document, and what it is told apart from.
        in_batch = [("a", 0, [1, 2]), ("b", 2, [0, 1, 3]), ("a", 3, [1, 2])]
        apart = [("a", 0, [1, 2]), ("b", 2, []), ("a", 3, [])]
        for cases, parameters in ((in_batch, {}), (apart, {"in_batch_negatives": False})):
            expected, right = 0.0, 0
            for name, wanted, others in cases:
                scores = cosines[name]
                parts = [math.exp(scores[i] - scores[wanted]) for i in others]
                expected += math.log(1 + sum(parts))
                right += all(part <= 1 for part in parts)
            value, counted = self.objective(**parameters).loss([0, 1, 2])
            self.assertAlmostEqual(value.item(), expected, places=4)
            self.assertEqual(counted, right)

    def test_a_batch_of_several_passes_has_the_same_loss_and_gradients(self):
        import torch
        from nemo_trainer import encoder

        found = []
        limit = encoder.PASS_TOKENS
        try:
            for encoder.PASS_TOKENS in (limit, 8):
                objective = self.objective()
                value, _ = objective.loss([0, 1, 2])
                value.backward()
                grads = [each.grad.flatten() for each in objective.tuned.model.parameters() if each.grad is not None]
                found.append((value.item(), torch.cat(grads)))
        finally:
            encoder.PASS_TOKENS = limit
        self.assertAlmostEqual(found[0][0], found[1][0], places=5)
        self.assertTrue(torch.allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-5))

    def test_validation_rows_are_split_evenly_and_a_step_is_whole(self):
        objective = self.objective(rows=ROWS * 3)
        self.assertEqual(objective.groups([4, 2, 0]), [[4, 2, 0]])
        sizes = [len(each) for each in objective.groups(list(range(9)), validation=True)]
        self.assertEqual((sum(sizes), max(sizes) - min(sizes), max(sizes)), (9, 1, 2))

    def test_rows_without_any_negative_are_refused(self):
        from nemo_trainer.errors import JobError

        with self.assertRaisesRegex(JobError, "give neg_doc, or a batch_size above 1"):
            self.objective(rows=ROWS[1:], in_batch_negatives=False)

    def test_jobs_learn_and_leave_a_model_that_answers_the_same(self):
        import torch
        from nemo_trainer.encoder import embed
        from transformers import AutoModel, AutoTokenizer

        queries, documents = ["one two", "four nine"], ["oneth twoth", "fourth ninth", "nineth fourth"]
        before = vectors_of(self.encoder, queries)
        for kind in ("all_weights", "lora_merged"):
            lora = {"adapter_dim": 8, "target_modules": ["all-linear"]}
            events = self.ends(self.embedding_job(kind, {"finetuning_type": kind, "lora": lora}))
            checks = [e for e in events if e["event"] == "validation"]
            self.assertLess(checks[-1]["val_loss"], 0.5 * checks[0]["val_loss"])
            self.assertGreater(checks[-1]["val_accuracy"], 0.6)
            logged = next(e for e in events if e["event"] == "progress")
            self.assertIn("train_accuracy", logged)
            output = os.path.join(self.folder, kind, "output")
            for name in ("modules.json", "1_Pooling/config.json", "vocab.txt", "tokenizer.json"):
                self.assertTrue(os.path.exists(os.path.join(output, name)), name)
            with open(os.path.join(output, "config.json")) as file:
                config = json.load(file)
            self.assertEqual((config["dtype"], config["hidden_dropout_prob"]), ("float32", 0.1))
            self.assertNotIn(self.folder, json.dumps(config))
            model, tokenizer = AutoModel.from_pretrained(output), AutoTokenizer.from_pretrained(output)
            model.eval()
            ids = [tuple(tokenizer(text)["input_ids"]) for text in (*queries, *documents)]
            with torch.no_grad():
                mine = embed(model, ids, 0).tolist()
            for got, wanted in zip(mine, vectors_of(output, [*queries, *documents]), strict=True):
                self.assertGreater(dot(got, wanted), 0.9999)
            self.assertLess(dot(mine[0], before[0]), 0.999)
            self.assertGreater(dot(mine[0], mine[2]), dot(mine[0], mine[3]))

        changes = {"finetuning_type": "all_weights", "lora": lora}
        killed = self.embedding_job("killed-encoder", changes, checkpoint_interval_s=0)
        process = self.start(killed)
        while not any(e["event"] == "progress" and e["step"] >= 7 for e in self.events(killed)):
            self.assertIsNone(process.poll())
        process.kill()
        process.wait()
        events = self.ends(killed)
        self.assertGreater([e for e in events if e["event"] == "started"][1]["resumed_from_step"], 0)
        whole = os.path.join(self.folder, "all_weights")
        self.assertEqual(self.losses(killed), self.losses(whole))
        self.assertEqual(self.weights(killed), self.weights(whole))

    def test_texts_longer_than_the_positions_are_cut_and_told(self):
        path = os.path.join(self.folder, "long.jsonl")
        with open(path, "w") as file:
            for word in WORDS:
                file.write(json.dumps({"query": word, "pos_doc": f"{word}th " * 40}) + "\n")
        files = {"training_files": [path], "validation_files": []}
        events = self.ends(self.embedding_job("long", {"finetuning_type": "all_weights", "epochs": 1}, **files))
        (warning,) = [e["message"] for e in events if e["event"] == "warning"]
        self.assertIn("10 of 10 training rows are longer than max_seq_length (16 tokens)", warning)

    def weights(self, workdir):
        with open(os.path.join(workdir, "output/model.safetensors"), "rb") as file:
            return file.read()
