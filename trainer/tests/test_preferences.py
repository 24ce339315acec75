# SPDX-License-Identifier: Apache-2.0
import json
import os
import tempfile
import unittest

from nemo_trainer.encode import encode_pairs
from nemo_trainer.errors import JobError
from nemo_trainer.preferences import pair_of_row, read_pairs
from nemo_trainer.templates import ChatTemplate

from .fakes import FakeTokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATE = "{prompt} {completion}"


def pair(row, template=TEMPLATE):
    return pair_of_row(row, "a.jsonl, line 1", template, ChatTemplate(CHATML), "<|im_end|>")


class Pairs(unittest.TestCase):
    def trained(self, row, template=TEMPLATE):
        tokenizer = FakeTokenizer()
        (encoded,), _ = encode_pairs([pair(row, template)], tokenizer, 64)
        both = (encoded.chosen, encoded.rejected)
        return [tokenizer.text(each) for each in both], [tokenizer.trained_text(each) for each in both]

    def test_text_goes_through_the_prompt_template_under_both_spellings(self):
        for names in (("chosen_response", "rejected_response"), ("chosen", "rejected")):
            texts, trained = self.trained({"prompt": "Two?", names[0]: "yes", names[1]: "no"})
            self.assertEqual(texts, ["Two? yes<|im_end|>", "Two? no<|im_end|>"])
            self.assertEqual(trained, [" yes<|im_end|>", " no<|im_end|>"])
        texts, _ = self.trained({"question": "Two?", "chosen": "yes", "rejected": "no"}, "Q: {question} A: {answer}")
        self.assertEqual(texts[0], "Q: Two? A: yes<|im_end|>")

    def test_messages_go_through_the_chat_template_and_only_the_last_turn_counts(self):
        messages = [
            {"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "two"},
        ]  # fmt: skip
        answers = [[{"role": "assistant", "content": word}] for word in ("yes", "no")]
        forms = (
            {"prompt": messages, "chosen_response": "yes", "rejected_response": "no"},
            {"prompt": messages, "chosen": answers[0], "rejected": answers[1]},
            {"prompt": messages, "chosen": answers[0][0], "rejected": answers[1][0]},
            {"prompt": messages, "chosen": messages + answers[0], "rejected": messages + answers[1]},
            {"chosen": messages + answers[0], "rejected": messages + answers[1]},
        )
        for row in forms:
            texts, trained = self.trained(row)
            self.assertTrue(texts[0].endswith("two<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>"), texts)
            self.assertEqual(trained, ["yes<|im_end|>", "no<|im_end|>"])
        texts, trained = self.trained({"prompt": "two", "chosen": answers[0], "rejected": answers[1]})
        self.assertEqual(texts[1], "<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\nno<|im_end|>")

    def test_rows_that_cannot_be_used_are_named(self):
        cases = [
            ([], "not a JSON object"),
            ({"prompt": "a", "chosen": "b"}, 'no field "rejected_response"'),
            ({"prompt": "a", "chosen": 1, "rejected": "b"}, '"chosen" is neither text'),
            ({"prompt": "a", "chosen": "b", "rejected": "b"}, "are the same"),
            ({"chosen": "b", "rejected": "c"}, 'no field "prompt"'),
            ({"prompt": {"a": 1}, "chosen": [{"role": "assistant", "content": "x"}], "rejected": "c"}, '"prompt"'),
        ]
        for row, reason in cases:
            with self.assertRaisesRegex(JobError, reason):
                pair(row)

    def test_files_are_read_in_order_and_an_empty_one_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.jsonl")
            with open(path, "w") as file:
                for word in ("x", "y"):
                    file.write(json.dumps({"prompt": word, "chosen": "1", "rejected": "2"}) + "\n")
            pairs = read_pairs((path,), TEMPLATE, None, "")
            self.assertEqual([chosen.text for chosen, _ in pairs], ["x 1", "y 1"])
            open(path, "w").close()
            with self.assertRaisesRegex(JobError, "no rows"):
                read_pairs((path,), TEMPLATE, None, "")


if __name__ == "__main__":
    unittest.main()
