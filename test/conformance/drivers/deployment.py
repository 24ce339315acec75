# SPDX-License-Identifier: Apache-2.0
"""Deployments of models through NVIDIA's SDK."""

import time

from recorder import Recorder, client, fails_with, unique

nemo = client()
record = Recorder("deployment")
CONFIGS = "/v1/deployment/configs"
ONE_CONFIG = CONFIGS + "/{namespace}/{config_name}"
DEPLOYMENTS = "/v1/deployment/model-deployments"
ONE = DEPLOYMENTS + "/{namespace}/{deployment_name}"
NIM_IMAGE = {"image_name": "nvcr.io/nim/meta/x", "image_tag": "1.8", "gpu": 1, "pvc_size": "25Gi", "additional_envs": {"A": "b"}}
model = nemo.inference.models.list().data[0].id
name = unique("deployed")
space = "default"


def until_done(which: str):
    end = time.monotonic() + 300
    while (found := nemo.deployment.model_deployments.retrieve(which, namespace=space)).status_details.status == "pending":
        assert time.monotonic() < end, found
        time.sleep(1)
    return found


with record.operation("configs.create", f"POST {CONFIGS}"):
    made = nemo.deployment.configs.create(name=name, namespace=space, model=model, nim_deployment=NIM_IMAGE)
    assert (made.name, made.model, made.nim_deployment.gpu) == (name, model, 1), made
    with fails_with(409):
        nemo.deployment.configs.create(name=name, namespace=space, model=model)
with record.operation("configs.retrieve", f"GET {ONE_CONFIG}"):
    assert nemo.deployment.configs.retrieve(name, namespace=space) == made
    with fails_with(404):
        nemo.deployment.configs.retrieve("no-such", namespace=space)
with record.operation("configs.list", f"GET {CONFIGS}"):
    assert [one.name for one in nemo.deployment.configs.list(filter={"name": name}).data] == [name]
with record.operation("configs.update", f"PATCH {ONE_CONFIG}"):
    changed = nemo.deployment.configs.update(name, namespace=space, description="changed")
    assert (changed.description, changed.model) == ("changed", model), changed
with record.operation("model_deployments.create", f"POST {DEPLOYMENTS}"):
    made = nemo.deployment.model_deployments.create(name=name, namespace=space, config=f"{space}/{name}")
    assert (made.status_details.status, made.deployed, made.url) == ("pending", False, ""), made
    with fails_with(500):
        nemo.deployment.model_deployments.create(name=name, namespace=space, config=f"{space}/{name}")
with record.operation("model_deployments.retrieve", f"GET {ONE}"):
    ready = until_done(name)
    assert (ready.status_details.status, ready.deployed) == ("ready", True) and ready.url.startswith("http"), ready
    said = nemo.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=2)
    assert said.choices, said
with record.operation("model_deployments.list", f"GET {DEPLOYMENTS}"):
    found = [one for one in nemo.deployment.model_deployments.list(page_size=100).data if one.name == name]
    assert found[0].status_details.status == "ready", found
with record.operation("model_deployments.update", f"PATCH {ONE}"):
    changed = nemo.deployment.model_deployments.update(name, namespace=space, config={"model": "meta/not-served-here"})
    failed = until_done(name)
    assert failed.status_details.status == "failed" and "nemoctl models add" in failed.status_details.description, failed
with record.operation("model_deployments.delete", f"DELETE {ONE}"):
    nemo.deployment.model_deployments.delete(name, namespace=space)
    with fails_with(404):
        nemo.deployment.model_deployments.retrieve(name, namespace=space)
with record.operation("configs.delete", f"DELETE {ONE_CONFIG}"):
    nemo.deployment.configs.delete(name, namespace=space)
    with fails_with(404):
        nemo.deployment.configs.retrieve(name, namespace=space)
record.done()
