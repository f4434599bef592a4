"""Find which model a run really began with: through warm-ups, adapters and earlier runs, whose folders hide it."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, try_to_load_from_cache

from rlvr.core.yaml_file import read_yaml
from rlvr.models.load import PACKAGED, TINY, adapter_base

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_KNOWN = {PACKAGED: ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}  # its 4-bit GGUF, made numbers


@dataclass(frozen=True)
class Origin:
    """Hold the model that a run began with.

    Attributes:
        spec: as it would be given to `rlvr train --model`.
        hub: its id on the hub, None where it is none.
        revision: of that id; None is its main branch.
        licence: None where nobody says.
        steps: what was done to it before this run, in words, the first thing first.
    """

    spec: str
    hub: str | None
    revision: str | None
    licence: str | None
    steps: tuple[str, ...] = ()


def origin(config: Mapping[str, Any]) -> Origin:
    """Return what a run's settings began with, followed through folders that earlier runs and warm-ups wrote."""
    spec, revision = str(config.get("model")), _revision(config)
    steps = [_warm_up(config)] if config.get("sft_steps") else []
    seen: set[Path] = set()
    while (folder := Path(spec).expanduser()).is_dir() and folder.resolve() not in seen:
        seen.add(folder.resolve())
        earlier = folder.parent / "config.yaml"
        if folder.name == "model" and earlier.is_file():
            before = read_yaml(earlier)
            trained = f"a run of rlvr: {before.get('advantage')} on {before.get('data')}"
            steps = [*([_warm_up(before)] if before.get("sft_steps") else []), trained, *steps]
            spec, revision = str(before.get("model")), _revision(before)
        elif (folder / "warmup.json").is_file():
            settings = json.loads((folder / "warmup.json").read_text(encoding="utf-8"))
            steps.insert(0, f"a warm-up: {settings['steps']} supervised steps on {settings['data']}")
            spec, revision = str(settings["model"]), settings.get("revision")
        elif (folder / "adapter_config.json").is_file():
            steps.insert(0, f"the adapter {folder.name}")
            spec = adapter_base(folder)
            revision = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("revision")
        elif folder.name in (TINY, PACKAGED) and folder.parent.name == "models":
            spec = folder.name
        else:
            break
    hub, licence = _KNOWN.get(spec, (None, None))
    if hub is None and not Path(spec).expanduser().is_dir() and _HUB_ID.fullmatch(spec):
        hub = spec
    return Origin(spec, hub, revision, licence or _licence(spec, revision), tuple(steps))


def _warm_up(config: Mapping[str, Any]) -> str:
    return f"a warm-up: {config['sft_steps']} supervised steps on {config.get('sft_data') or config.get('data')}"


def _revision(config: Mapping[str, Any]) -> str | None:
    inside = config.get("model_init_kwargs")
    return config.get("revision") or (inside.get("revision") if isinstance(inside, dict) else None)


def _licence(spec: str, revision: str | None) -> str | None:
    """Return the licence that a model's card on this machine states; None where there is none."""
    file: Any = Path(spec).expanduser() / "README.md"
    if not file.is_file() and _HUB_ID.fullmatch(spec):
        file = try_to_load_from_cache(spec, "README.md", revision=revision)
    if not isinstance(file, str | Path) or not Path(file).is_file():
        return None
    try:
        licence = ModelCard.load(Path(file), ignore_metadata_errors=True).data.to_dict().get("license")
    except (OSError, ValueError):
        return None
    return licence if isinstance(licence, str) else None
