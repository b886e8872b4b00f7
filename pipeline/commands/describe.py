"""The verb that describes the networks of a config, before anything is trained."""

from pathlib import Path
from typing import Literal

from garment_keypoints.pipeline import views
from garment_keypoints.pipeline.contract.files import refuse_foreign, write_text
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.settings import Settings

HEAD = "<!-- written by `python -m pipeline describe`; do not edit -->\n\n"


def describe(
    settings: Settings, stage: Literal["keypoints", "detector", "both"] = "both", out: Path | None = None
) -> None:
    """Print the layers, parameters, operations and receptive field of the networks of a config.

    Args:
        settings: both stages, folds, schema
        stage: whose network
        out: write the same into this file, as Markdown
    """
    if out is not None:
        refuse_foreign(out, _is_description, "a description that this command wrote", "choose another --out")
    schema, parts = load_schema(settings.schema), []
    if stage != "keypoints":
        parts.append(views.describe_detector(schema, settings.detector))
    if stage != "detector":
        parts.append(views.describe_keypoints(schema, settings.keypoints))
    text = "\n".join(parts)
    print(text, end="")
    if out is not None:
        write_text(out, HEAD + text)


def _is_description(file: Path) -> bool:
    return file.read_bytes().startswith(HEAD.encode())
