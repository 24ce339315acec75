# SPDX-License-Identifier: Apache-2.0
import json
import os
import tempfile
import unittest

from nemo_trainer.encode import encode, encode_all
from nemo_trainer.errors import JobError
from nemo_trainer.rows import completion_example, example_of_row, read_examples

from .fakes import FakeTokenizer

TEMPLATE = "{prompt} {completion}"


def completion(row, template=TEMPLATE, tokenizer=None):
    tokenizer = tokenizer or FakeTokenizer()
    return tokenizer, encode(completion_example(row, "f, line 1", template), tokenizer)


class CompletionRows(unittest.TestCase):
    def test_renders_the_template_and_trains_the_completion_with_its_end(self):
        tokenizer, row = completion({"prompt": "Say hi.", "completion": "Hello you"})
        self.assertEqual(tokenizer.text(row), "Say hi. Hello you<|im_end|>")
        self.assertEqual(tokenizer.trained_text(row), " Hello you<|im_end|>")

    def test_takes_the_fields_that_the_template_names(self):
        tokenizer, row = completion({"q": "1", "a": "2"}, "Q: {q}\nA: {a}")
        self.assertEqual(tokenizer.text(row), "Q: 1\nA: 2<|im_end|>")
        self.assertEqual(tokenizer.trained_text(row), " 2<|im_end|>")

    def test_text_behind_the_completion_is_trained_too(self):
        tokenizer, row = completion({"prompt": "a", "completion": "b"}, "{prompt} {completion} END")
        self.assertEqual(tokenizer.trained_text(row), " b END<|im_end|>")

    def test_braces_in_values_stay_as_they_are(self):
        tokenizer, row = completion({"prompt": "use {completion}", "completion": "{prompt}"})
        self.assertEqual(tokenizer.text(row), "use {completion} {prompt}<|im_end|>")

    def test_special_tokens_of_the_tokenizer_are_not_doubled(self):
        tokenizer, row = completion(
            {"prompt": "a", "completion": "b"}, tokenizer=FakeTokenizer(adds_bos=True, adds_eos=True)
        )
        self.assertEqual(tokenizer.text(row), "<|im_start|>a b<|im_end|>")
        self.assertEqual(tokenizer.trained_text(row), " b<|im_end|>")

    def test_an_empty_completion_trains_the_end_only(self):
        tokenizer, row = completion({"prompt": "a", "completion": ""})
        self.assertEqual(tokenizer.trained_text(row).strip(), "<|im_end|>")

    def test_wrong_rows_are_named(self):
        cases = [
            ({"prompt": "a"}, 'no field "completion" (it has: prompt)'),
            ({"prompt": 1, "completion": "b"}, '"prompt" is not a string'),
            ([1], "not a JSON object"),
            ({"messages": [{"role": "user", "content": "x"}]}, "no chat template"),
        ]
        for row, message in cases:
            with self.assertRaises(JobError) as caught:
                example_of_row(row, "train.jsonl, line 7", TEMPLATE, None, "")
            self.assertIn("train.jsonl, line 7: ", caught.exception.message)
            self.assertIn(message, caught.exception.message)
            self.assertEqual(caught.exception.code, "invalid_data")


class Length(unittest.TestCase):
    def test_a_long_row_is_cut_at_its_end_and_told(self):
        example = completion_example({"prompt": "a b", "completion": "c d e f"}, "f, line 3", TEMPLATE)
        rows, cut = encode_all([example], FakeTokenizer(), 4)
        self.assertEqual((len(rows[0].ids), rows[0].trained_count), (4, 2))
        self.assertEqual(cut, ["f, line 3"])

    def test_a_prompt_that_leaves_nothing_to_train_is_refused(self):
        example = completion_example({"prompt": "a b c d", "completion": "e"}, "f, line 3", TEMPLATE)
        with self.assertRaisesRegex(JobError, r"f, line 3: the prompt alone fills max_seq_length \(4 tokens\)"):
            encode_all([example], FakeTokenizer(), 4)


class Files(unittest.TestCase):
    def read(self, data: bytes):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "train.jsonl")
            with open(path, "wb") as file:
                file.write(data)
            return read_examples((path,), TEMPLATE, None, "")

    def test_blank_lines_and_a_byte_order_mark_are_skipped(self):
        line = json.dumps({"prompt": "é", "completion": "b"}, ensure_ascii=False).encode()
        rows = self.read(b"\xef\xbb\xbf" + line + b"\r\n\n" + line)
        self.assertEqual([row.where.split("/")[1] for row in rows], ["train.jsonl, line 1", "train.jsonl, line 3"])

    def test_errors_name_file_and_line(self):
        good = b'{"prompt": "a", "completion": "b"}\n'
        cases = [
            (b"", "train.jsonl: the file has no rows"),
            (b"\n \n", "train.jsonl: the file has no rows"),
            (good + b'{"prompt": ', "train.jsonl, line 2: the line is not JSON"),
            (good + '{"prompt": "é"}'.encode("latin-1"), "train.jsonl, line 2: the line is not UTF-8"),
            (good + b"[" * 100_000, "train.jsonl, line 2: the line is not JSON"),
        ]
        for data, message in cases:
            with self.assertRaises(JobError) as caught:
                self.read(data)
            self.assertIn(message, caught.exception.message)

    def test_a_missing_file_is_named(self):
        with self.assertRaisesRegex(JobError, "absent.jsonl: the file cannot be opened"):
            read_examples(("/nowhere/absent.jsonl",), TEMPLATE, None, "")


if __name__ == "__main__":
    unittest.main()
