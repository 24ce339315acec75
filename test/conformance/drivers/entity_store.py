# SPDX-License-Identifier: Apache-2.0
"""All 20 operations of the Entity Store through NVIDIA's SDK."""

from recorder import Recorder, client, fails_with, unique

nemo = client()
record = Recorder("entity-store")
space = unique("entities")


def namespaces():
    with record.operation("namespaces.create", "POST /v1/namespaces"):
        made = nemo.namespaces.create(id=space, description="first", custom_fields={"team": "a"})
        got = nemo.namespaces.retrieve(space)
        assert (made.id, got.description, got.custom_fields) == (space, "first", {"team": "a"}), got
        with fails_with(409):
            nemo.namespaces.create(id=space)
    with record.operation("namespaces.retrieve", "GET /v1/namespaces/{namespace_id}"):
        assert nemo.namespaces.retrieve(space).created_at is not None
        with fails_with(404):
            nemo.namespaces.retrieve(unique("absent"))
    with record.operation("namespaces.list", "GET /v1/namespaces"):
        assert space in [one.id for one in nemo.namespaces.list(page_size=2)]
    with record.operation("namespaces.update", "PATCH /v1/namespaces/{namespace_id}"):
        nemo.namespaces.update(space, description="second")
        got = nemo.namespaces.retrieve(space)
        assert (got.description, got.custom_fields) == ("second", {"team": "a"}), got
    with record.operation("namespaces.delete", "DELETE /v1/namespaces/{namespace_id}"):
        other = unique("gone")
        nemo.namespaces.create(id=other)
        assert nemo.namespaces.delete(other).deleted_at
        with fails_with(404):
            nemo.namespaces.retrieve(other)


def kind(plural: str, path: str, resource, fields: dict, changes: dict):
    """The five operations that projects, datasets and models share."""
    names = [unique("a"), f"{unique('b')}@v1"]

    def holds(got, wanted):
        for key, value in wanted.items():
            have = getattr(got, key)
            have = have.model_dump(exclude_unset=True) if hasattr(have, "model_dump") else have
            assert have == value or (isinstance(value, dict) and value.items() <= have.items()), (key, have, value)

    def get(name):
        return resource.retrieve(name, namespace=space)

    with record.operation(f"{plural}.create", f"POST /v1/{plural}"):
        for name in names:
            made = resource.create(name=name, namespace=space, **fields)
            assert made.id.startswith(f"{plural[:-1]}-"), made.id
            holds(get(name), {"name": name, "namespace": space, **fields})
        with fails_with(409):
            resource.create(name=names[0], namespace=space, **fields)
    with record.operation(f"{plural}.retrieve", f"GET /v1/{plural}/{{namespace}}/{path}"):
        holds(get(names[1]), fields)
        with fails_with(404):
            get(unique("absent"))
    with record.operation(f"{plural}.list", f"GET /v1/{plural}"):
        mine = {"filter": {"namespace": space}}
        assert [one.name for one in resource.list(**mine, sort="created_at", page_size=1)] == names
        assert [one.name for one in resource.list(**mine, sort="-created_at")] == names[::-1]
        page = resource.list(**mine, page_size=1)
        assert (page.pagination.total_results, page.pagination.total_pages) == (2, 2), page.pagination
        assert resource.list(**mine, page=9).data == []
        with fails_with(422):
            resource.list(page=0)
    with record.operation(f"{plural}.update", f"PATCH /v1/{plural}/{{namespace}}/{path}"):
        resource.update(names[0], namespace=space, **changes)
        holds(get(names[0]), {**fields, **changes})
        holds(get(names[1]), fields)
    with record.operation(f"{plural}.delete", f"DELETE /v1/{plural}/{{namespace}}/{path}"):
        gone = get(names[1])
        assert resource.delete(names[1], namespace=space).id == gone.id
        with fails_with(404):
            get(names[1])
        assert [one.name for one in resource.list(filter={"namespace": space})] == names[:1]


namespaces()
kind("projects", "{project_name}", nemo.projects, {"description": "p"}, {"description": "q"})
kind(
    "datasets",
    "{dataset_name}",
    nemo.datasets,
    {"files_url": f"hf://datasets/{space}/d", "project": "any text", "custom_fields": {"n": 1}},
    {"description": "changed", "custom_fields": {"m": [2]}},
)
kind(
    "models",
    "{model_name}",
    nemo.models,
    {
        "base_model": "meta/llama-3.2-1b-instruct",
        "artifact": {"files_url": f"hf://{space}/m@v1", "status": "upload_completed", "precision": "bf16"},
        "peft": {"finetuning_type": "lora"},
        "spec": {"num_parameters": 1000, "context_size": 2048, "num_virtual_tokens": 0, "is_chat": True},
    },
    {"description": "changed"},
)
record.done()
