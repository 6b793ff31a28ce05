"""Models: what can embed here, under its own name and under the names it stands in for."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from retrieval.api.dependencies import Reader, ResourcesDep, Writer
from retrieval.embedders import Embedders
from retrieval.errors import NotAllowedNow

router = APIRouter(prefix="/v1/models", tags=["models"])

CREATED = 1767225600  # models have no date of their own here; one that never changes is the least surprising


class ModelObject(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = CREATED
    owned_by: str


def _model(name: str, embedders: Embedders) -> ModelObject:
    real = embedders.name_of(name)
    return ModelObject(id=name, owned_by="carrel" if name == real else f"carrel:{real}")


@router.get("")
def list_models(_: Reader, resources: ResourcesDep) -> dict[str, Any]:
    embedders = resources.embedders
    names = dict.fromkeys([*embedders.names, *embedders.aliases])
    return {"object": "list", "data": [_model(name, embedders).model_dump() for name in names]}


@router.get("/{model:path}")
def get_model(model: str, _: Reader, resources: ResourcesDep) -> ModelObject:
    return _model(model, resources.embedders)


@router.delete("/{model:path}")
def delete_model(model: str, _: Writer, resources: ResourcesDep) -> None:
    name = resources.embedders.name_of(model)
    raise NotAllowedNow(
        f"The model '{name}' is part of this server's configuration and cannot be deleted.", param="model"
    )
