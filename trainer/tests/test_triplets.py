# SPDX-License-Identifier: Apache-2.0
import json
import os
import tempfile
import unittest

from nemo_trainer.errors import JobError
from nemo_trainer.job import Negatives, parse_job
from nemo_trainer.targets import resolve_targets
from nemo_trainer.triplets import Texts, encode_triplets, read_triplets, triplet_of_row

LAYERS = [
    f"encoder.layer.{n}.{part}"
    for n in range(2)
    for part in (
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
        "intermediate.dense", "output.dense",
    )
]  # fmt: skip


class Words:
    """A token a word, between a first and a last token."""

    def __call__(self, text, truncation=False, max_length=None):
        ids = [int(word) for word in text.split()]
        return {"input_ids": [101, *(ids[: max_length - 2] if truncation else ids), 102]}


def row(**changes):
    return {"query": "q", "pos_doc": "p", "neg_doc": ["n"], **changes}


class Triplets(unittest.TestCase):
    def read(self, rows, negatives=Negatives(), seed=1):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.jsonl")
            with open(path, "w") as file:
                file.writelines(json.dumps(each) + "\n" for each in rows)
            return read_triplets((path,), negatives, seed)

    def test_rows_are_read_with_any_number_of_negatives(self):
        rows = [row(), row(neg_doc=["a", "b"]), row(neg_doc=[]), {"query": "q", "pos_doc": "p"}, row(neg_doc="one")]
        self.assertEqual([each.negatives for each in self.read(rows)], [("n",), ("a", "b"), (), (), ("one",)])

    def test_the_first_negatives_are_taken_or_some_drawn_by_the_seed(self):
        rows = [row(neg_doc=[str(i) for i in range(20)])] * 2
        first = self.read(rows, Negatives(num_hard_negatives=2))
        self.assertEqual([each.negatives for each in first], [("0", "1")] * 2)
        draw = Negatives(num_hard_negatives=5, negative_sample_strategy="random")
        drawn = [each.negatives for each in self.read(rows, draw)]
        self.assertEqual(drawn, [each.negatives for each in self.read(rows, draw)])
        self.assertNotEqual(drawn, [each.negatives for each in self.read(rows, draw, seed=2)])
        self.assertNotEqual(drawn[0], drawn[1])
        self.assertEqual([len(set(each)) for each in drawn], [5, 5])
        self.assertEqual(self.read(rows, Negatives(num_hard_negatives=0))[0].negatives, ())

    def test_rows_that_cannot_be_used_are_named_with_line_and_field(self):
        cases = [
            ([], "not a JSON object"),
            ({"query": "q"}, 'no field "pos_doc" \\(it has: query\\)'),
            (row(query=1), '"query" is not a text'),
            (row(pos_doc="  "), '"pos_doc" is not a text'),
            (row(neg_doc={"a": 1}), '"neg_doc" is not a list'),
            (row(neg_doc=["a", 2]), "neg_doc\\[1\\] is not a text"),
            (row(neg_doc=["a", "p"]), "neg_doc\\[1\\] is the same text as pos_doc"),
        ]
        for value, reason in cases:
            with self.assertRaisesRegex(JobError, f"a.jsonl, line 2: .*{reason}"):
                self.read([row(), value])
        with self.assertRaisesRegex(JobError, "no rows"):
            self.read([])

    def test_long_texts_are_cut_between_the_tokens_around_them(self):
        texts = [Texts("1 2", "3 4 5 6", ("7",), "line 1"), Texts("1", "2", (), "line 2")]
        (first, second), cut = encode_triplets(texts, Words(), 5)
        self.assertEqual((first.query, first.positive), ((101, 1, 2, 102), (101, 3, 4, 5, 102)))
        self.assertEqual((first.negatives, second.negatives), (((101, 7, 102),), ()))
        self.assertEqual(cut, ["line 1"])

    def test_a_row_alone_is_checked_the_same(self):
        self.assertEqual(triplet_of_row(row(), "x"), Texts("q", "p", ("n",), "x"))


class Jobs(unittest.TestCase):
    def job(self, hyperparameters, **changes):
        raw = {"model_dir": "/m", "training_files": ["a"], "task": "embedding", "hyperparameters": hyperparameters}
        return parse_job({**raw, **changes})

    def test_settings_of_negatives(self):
        asked = {"in_batch_negatives": False, "num_hard_negatives": 3, "negative_sample_strategy": "random"}
        job = self.job({"finetuning_type": "all_weights"}, dataset_parameters=asked)
        self.assertEqual(job.negatives, Negatives(False, 3, "random"))
        self.assertEqual(self.job({"finetuning_type": "lora_merged"}).negatives, Negatives())

    def test_what_does_not_tune_an_embedding_model_is_named(self):
        for hp in ({"finetuning_type": "lora"}, {"finetuning_type": "all_weights", "training_type": "dpo"}):
            with self.assertRaisesRegex(JobError, "embedding model: use sft with lora_merged or all_weights"):
                self.job(hp)
        with self.assertRaisesRegex(JobError, "negative_sample_strategy"):
            self.job({"finetuning_type": "all_weights"}, dataset_parameters={"negative_sample_strategy": "best"})

    def test_nemos_names_choose_the_layers_of_an_encoder(self):
        self.assertEqual(len(resolve_targets((), LAYERS)), 8)
        self.assertEqual(resolve_targets(("linear_qkv",), LAYERS), ["key", "query", "value"])
        self.assertEqual(
            resolve_targets(("linear_proj",), LAYERS), [f"encoder.layer.{n}.attention.output.dense" for n in (0, 1)]
        )
        fc2 = resolve_targets(("linear_fc2",), LAYERS)
        self.assertEqual(fc2, ["encoder.layer.0.output.dense", "encoder.layer.1.output.dense"])
        self.assertEqual(resolve_targets(("all-linear",), LAYERS), ["dense", "key", "query", "value"])


if __name__ == "__main__":
    unittest.main()
