# SPDX-License-Identifier: Apache-2.0
"""Runs one task of lm-eval against the evaluator's forwarder, as the JSON file named on the command line says.

Standard output has one JSON object a line: {"asked": n} for n requests to the model of which {"known": k} were
answered in an earlier life. Every answer is appended to the file `answers` as it comes, so that a run that was
killed asks only for the others. At the end `samples.jsonl` and `results.json` are in the folder `output`.
"""

import json
import math
import os
import resource
import signal
import sys
from numbers import Number
from pathlib import Path

MEMORY_BYTES = 16 * 2**30
RENDER_SECONDS = 10
RENDER_CHARACTERS = 4_000_000


def tell(**event):
    print(json.dumps(event), file=EVENTS, flush=True)


def finite(value):
    return float(value) if isinstance(value, Number) and math.isfinite(value) else None


def confine():
    """Templates come from users and from endpoints: no attributes that lead out, no endless loops, no huge texts."""
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from lm_eval import utils

    class Sandbox(ImmutableSandboxedEnvironment):
        def call_binop(self, context, operator, left, right):
            sizes = [v for v in (left, right) if isinstance(v, int)]
            if operator in ("**", "*") and any(abs(v) > 1_000_000 for v in sizes):
                raise jinja2.exceptions.SecurityError(f"{operator} with a number over a million")
            return super().call_binop(context, operator, left, right)

        intercepted_binops = frozenset(["**", "*"])

    class Template(jinja2.Template):
        def render(self, *args, **kwargs):
            signal.setitimer(signal.ITIMER_REAL, RENDER_SECONDS)
            try:
                parts, size = [], 0
                for part in self.generate(*args, **kwargs):
                    parts.append(part)
                    size += len(part)
                    if size > RENDER_CHARACTERS:
                        raise jinja2.exceptions.SecurityError("the text is too long")
                return "".join(parts)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def too_slow(*_):
        raise TimeoutError(f"a template took longer than {RENDER_SECONDS} s")

    Sandbox.template_class = Template
    signal.signal(signal.SIGALRM, too_slow)
    safe = Sandbox(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    safe.filters["regex_replace"] = utils.regex_replace
    utils.env = safe
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def remember(path):
    """Answers are kept in a file of JSON lines instead of lm-eval's SQLite database, which the evaluator reads along."""
    from lm_eval.api import model

    class Answers(dict):
        def __init__(self):
            super().__init__()
            if path.exists():
                for line in path.read_text().splitlines():
                    try:
                        entry = json.loads(line)
                    except json.JSONDecodeError:
                        continue  # the last line of a process that was killed
                    value = entry["v"]
                    super().__setitem__(entry["k"], tuple(value) if isinstance(value, list) else value)
            self.file = path.open("a")
            if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
                self.file.write("\n")

        def __setitem__(self, key, value):
            if key not in self:
                super().__setitem__(key, value)
                self.file.write(json.dumps({"k": key, "v": value}, default=float) + "\n")
                self.file.flush()

        def commit(self):
            self.file.flush()

    class Remembering(model.CachingLM):
        def __init__(self, lm, _path):
            self.lm = lm
            self.cache_db = str(path)
            self.dbdict = Answers()
            lm.set_cache_hook(self.get_cache_hook())

        def __getattr__(self, attribute):
            inner = super().__getattr__(attribute)
            if attribute not in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
                return inner

            def ask(requests, *args, **kwargs):
                known = sum(model.hash_args(attribute, request.args) in self.dbdict for request in requests)
                tell(asked=len(requests), known=known)
                return inner(requests, *args, **kwargs)

            return ask

    model.CachingLM = Remembering


def chat_by_remote_tokenizer():
    """lm-eval hands the list of messages on where the endpoint tokenizes; a completion needs their text."""
    from lm_eval.models.api_models import TemplateAPI

    original = TemplateAPI.apply_chat_template

    def apply_chat_template(self, chat_history, add_generation_prompt=True):
        if self.tokenizer_backend != "remote" or "/chat/" in self.base_url:
            return original(self, chat_history, add_generation_prompt)
        tokens = {"bos_token": self.tokenizer.bos_token or "", "eos_token": self.tokenizer.eos_token or ""}
        return self.tokenizer.apply_chat_template(chat_history, add_generation_prompt, **tokens)

    TemplateAPI.apply_chat_template = apply_chat_template


def scores_of(entry):
    """The numbers among what the metrics made of a sample; some give the parts of a later aggregation instead."""
    return {name: finite(entry[name]) for name in entry.get("metrics", ()) if isinstance(entry.get(name), Number)}


def merged_samples(samples):
    """One record a document: lm-eval has one for each filter of its answers."""
    for task, entries in samples.items():
        known = {}
        for entry in entries:
            record = known.setdefault(
                entry["doc_id"],
                {
                    "task": task,
                    "doc_id": entry["doc_id"],
                    "doc": entry["doc"],
                    "target": entry["target"],
                    "arguments": [list(args) for args in entry["arguments"]],
                    "resps": entry["resps"],
                    "filters": {},
                },
            )
            record["filters"][entry.get("filter", "none")] = {
                "answers": entry["filtered_resps"],
                "scores": scores_of(entry),
            }
        yield from (known[doc_id] for doc_id in sorted(known))


def clean(value):
    """JSON knows no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): clean(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(inner) for inner in value]
    return value


def write_json(path, lines):
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        for line in lines:
            file.write(json.dumps(clean(line), default=str, ensure_ascii=True) + "\n")
    temporary.replace(path)


def main():
    spec = json.loads(Path(sys.argv[1]).read_text())
    confine()
    remember(Path(spec["answers"]))
    chat_by_remote_tokenizer()
    import lm_eval
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path=spec.get("include_path"), include_defaults=spec["include_path"] is None)
    found = lm_eval.simple_evaluate(
        model=spec["model"],
        model_args={**spec["model_args"], "auth_token": os.environ["OPENAI_API_KEY"]},
        tasks=[spec["task"]],
        task_manager=tasks,
        use_cache="answers",
        log_samples=True,
        confirm_run_unsafe_code=False,
        **spec["options"],
    )
    output = Path(spec["output"])
    output.mkdir(exist_ok=True)
    write_json(output / "samples.jsonl", merged_samples(found["samples"]))
    keys = ("results", "groups", "group_subtasks", "n-shot", "n-samples", "versions", "higher_is_better", "configs")
    write_json(output / "results.json", [{key: found.get(key, {}) for key in keys}])


# What libraries print is not for the evaluator.
EVENTS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
main()
