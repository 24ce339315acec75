# SPDX-License-Identifier: Apache-2.0
"""With NEMO_LLAMA_ALIASES=true: what programs written for meta/llama-3.2-1b-instruct name is there, and says what it is."""

import httpx
from datasets import upload_dataset
from recorder import NIM, Recorder, client, unique

LLAMA = "meta/llama-3.2-1b-instruct"
nemo = client()
record = Recorder("aliases")
space = unique("llama")

with record.operation("the configs and the target of the real platform"):
    listed = {f"{one.namespace}/{one.name}" for one in nemo.customization.configs.list(page_size=100)}
    for version in ("@v1.0.0+A100", "@v1.0.0+80GB", "@v1.0.0+40GB"):
        assert f"{LLAMA}{version}" in listed, listed
        assert nemo.customization.configs.retrieve(f"llama-3.2-1b-instruct{version}", namespace="meta").training_options
    assert nemo.customization.targets.retrieve("llama-3.2-1b-instruct@2.0", namespace="meta").enabled
with record.operation("chat under the name"):
    question = [{"role": "user", "content": "What is the capital of France?"}]
    answer = nemo.chat.completions.create(model=LLAMA, messages=question, max_tokens=12, temperature=0)
    assert answer.choices[0].message.content and LLAMA in [one.id for one in nemo.inference.models.list().data]
with record.operation("metadata names the real weights"):
    assert "smollm2" in httpx.get(f"{NIM}/v1/metadata", timeout=60).text.lower()
dataset = upload_dataset(nemo, space, "rows", [{"prompt": f"Say {n}.", "completion": f" {n}."} for n in range(16)])
for config in (f"{LLAMA}@v1.0.0+A100", LLAMA):
    with record.operation(f"a job with config {config}, and a warning that names the real weights"):
        job = nemo.customization.jobs.create(
            config=config,
            dataset=dataset,
            output_model=f"{space}/{unique('out')}@v1",
            hyperparameters={"training_type": "sft", "finetuning_type": "lora", "epochs": 1, "batch_size": 8},
        )
        assert "smollm2" in str(job.warnings).lower(), job.warnings
        nemo.customization.jobs.cancel(job.id)
record.done()
