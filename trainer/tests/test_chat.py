# SPDX-License-Identifier: Apache-2.0
import json
import os
import unittest

from nemo_trainer.encode import encode
from nemo_trainer.errors import JobError
from nemo_trainer.rows import chat_example
from nemo_trainer.templates import ChatTemplate

from .fakes import FakeTokenizer

TEMPLATES = os.path.join(os.path.dirname(__file__), "../../packages/runtime/src/catalogue/templates")
EOS = "<|im_end|>"
TOOLS = [{"type": "function", "function": {"name": "sum", "parameters": {"type": "object"}}}]


def smollm2():
    with open(os.path.join(TEMPLATES, "smollm2.jinja"), encoding="utf-8") as file:
        return ChatTemplate(file.read(), "<|im_start|>", EOS)


class Chat(unittest.TestCase):
    def trained(self, messages, tools=None, template=None):
        example = chat_example({"messages": messages, "tools": tools}, "f, line 1", template or smollm2(), EOS)
        tokenizer = FakeTokenizer()
        return tokenizer.trained_text(encode(example, tokenizer)), example

    def test_golden_cases_render_as_the_engine_renders_them(self):
        with open(os.path.join(TEMPLATES, "golden/smollm2.json"), encoding="utf-8") as file:
            cases = json.load(file)
        self.assertGreater(len(cases), 5)
        template = smollm2()
        for case in cases:
            with self.subTest(case["name"]):
                given = case["input"]
                if "error" in case:
                    with self.assertRaises(ValueError):
                        template.render(given["messages"], given["tools"], given["add_generation_prompt"])
                    continue
                text = template.render(given["messages"], given["tools"], given["add_generation_prompt"])
                self.assertEqual(text, case["text"])

    def test_every_assistant_turn_is_trained_with_its_end_and_nothing_else(self):
        text, example = self.trained(
            [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "One?"},
                {"role": "assistant", "content": "First answer."},
                {"role": "user", "content": "Two?"},
                {"role": "assistant", "content": "Second."},
                {"role": "user", "content": "left open"},
            ]
        )
        self.assertEqual(text, "First answer.<|im_end|>Second.<|im_end|>")
        self.assertTrue(example.text.endswith("Second.<|im_end|>"))
        self.assertFalse(example.append_eos)

    def test_tool_calls_are_trained_and_tool_results_are_not(self):
        call = {"type": "function", "function": {"name": "sum", "arguments": {"a": 1, "b": 2.5}}}
        messages = [
            {"role": "user", "content": "1+2.5?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "3.5"},
            {"role": "assistant", "content": "It is 3.5."},
        ]
        text, example = self.trained(messages, TOOLS)
        said = '<tool_call>\n{"name": "sum", "arguments": {"a": 1, "b": 2.5}}\n</tool_call><|im_end|>'
        self.assertEqual(text, said + "It is 3.5.<|im_end|>")
        self.assertIn("<tools>", example.text)
        as_text = {"type": "function", "function": {"name": "sum", "arguments": '{"a": 1, "b": 2.5}'}}
        messages[1] = {"role": "assistant", "content": None, "tool_calls": [as_text]}
        self.assertEqual(self.trained(messages, TOOLS)[0], text)

    def test_control_tokens_in_content_do_not_end_a_turn(self):
        text, _ = self.trained(
            [{"role": "user", "content": "x"}, {"role": "assistant", "content": "a<|im_end|>b"}]
        )
        self.assertEqual(text.count(EOS), 1)

    def test_a_template_that_rewrites_earlier_turns_trains_the_last_one(self):
        source = (
            "{% for m in messages %}<|im_start|>{{ m.role }}\n"
            "{% if m.role == 'assistant' and not loop.last %}cut{% else %}{{ m.content }}{% endif %}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        )
        text, _ = self.trained(
            [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "one"},
                {"role": "user", "content": "b"},
                {"role": "assistant", "content": "two"},
            ],
            template=ChatTemplate(source),
        )
        self.assertEqual(text, "two<|im_end|>")

    def test_a_template_without_an_end_token_gets_one(self):
        template = ChatTemplate("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
                                "{% if add_generation_prompt %}[assistant]{% endif %}")  # fmt: skip
        text, example = self.trained(
            [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], template=template
        )
        self.assertTrue(example.append_eos)
        self.assertEqual(text, "b<|im_end|>")

    def test_wrong_rows_are_named(self):
        user = {"role": "user", "content": "x"}
        cases = [
            ([], None, "messages is not a list of at least one message"),
            ("x", None, "messages is not a list"),
            ([user], None, "no assistant turn"),
            ([user, {"content": "y"}], None, "messages[1] is not an object with a role"),
            ([user, {"role": "assistant"}], None, "messages[1] has neither content nor tool_calls"),
            ([user, {"role": "assistant", "content": 3}], None, "messages[1].content"),
            ([{"role": "elf", "content": "x"}, {"role": "assistant", "content": "y"}], None, "elf"),
            ([user, {"role": "assistant", "content": "y"}], {}, "tools is not a list"),
        ]
        for messages, tools, message in cases:
            with self.assertRaises(JobError) as caught:
                chat_example({"messages": messages, "tools": tools}, "f, line 9", smollm2(), EOS)
            self.assertIn("f, line 9: ", caught.exception.message)
            self.assertIn(message, caught.exception.message)


if __name__ == "__main__":
    unittest.main()
