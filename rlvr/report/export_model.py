"""Export a run's model: whole weights that plain transformers loads, tokenizer, template, card; to the hub, as GGUF."""

import os
import shutil
import tempfile
from pathlib import Path

import torch
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from rlvr.config.loading import loading
from rlvr.core.console import say
from rlvr.core.errors import RunError, SpecError, did_you_mean
from rlvr.core.files import appear, write_whole
from rlvr.models.gguf import OUTTYPE, convert, converter
from rlvr.models.load import hub_answers
from rlvr.models.merge import check_base_is_there, is_adapter, load_merged
from rlvr.report.card import model_card
from rlvr.report.origin import origin
from rlvr.report.read import read_run
from rlvr.runs.directory import RunDir
from rlvr.runs.resume import stored_config


def export_model(
    run: Path,
    out: Path | None = None,
    *,
    merge: bool = False,
    dtype: str = "bfloat16",
    push: str | None = None,
    gguf: bool = False,
) -> Path:
    """Write a run's model as a folder that needs no rlvr, and return that folder.

    Args:
        run: a run directory.
        out: the folder, which must not be there yet; None is `<run>/export`.
        merge: merge the LoRA adapter into its base; a run that trained one needs it.
        dtype: float32, bfloat16 or float16.
        push: a hub id `owner/name` to upload it to; a new repository there is private.
        gguf: write `<name>-<dtype>.gguf` beside the weights too, by llama.cpp's converter.

    Everything that can be wrong is refused before weights are loaded.
    """
    contents, files = read_run(run), RunDir(run)
    out = run / "export" if out is None else out
    if dtype not in OUTTYPE:
        raise SpecError(did_you_mean("dtype", dtype, OUTTYPE))
    if not files.model.is_dir():
        raise RunError(f"{run} holds no model yet: its training has not ended. Go on: rlvr train --resume {run}")
    adapter = is_adapter(files.model)
    if adapter and not merge:
        raise SpecError(
            f"{run} trained a LoRA adapter. Give --merge to merge it into its base; the adapter is {files.model}."
        )
    if out.exists():
        raise RunError(f"{out} exists already. Choose another --out, or remove it.")
    if gguf:
        converter()
    if adapter:
        check_base_is_there(files.model)
    api = _hub(push) if push else None
    model, tokenizer = load_merged(files.model, getattr(torch, dtype), loading(stored_config(files)))
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        model.save_pretrained(staged)
        tokenizer.save_pretrained(staged)
        name = push.rpartition("/")[2] if push else run.resolve().name if out == run / "export" else out.name
        card = model_card(name, contents, origin(contents["config"]), dtype, adapter)
        write_whole(staged / "README.md", card)
        if gguf:
            convert(staged, staged / f"{name}-{dtype}.gguf", dtype)
        os.chmod(staged, 0o755)  # mkdtemp makes it private
        appear(staged, out)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    if api is not None and push:
        _upload(api, push, out)
    return out


def _hub(repository: str) -> HfApi:
    """Return the hub's client once it is known that it can be pushed to; RunError in one sentence where it cannot."""
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise SpecError(f"--push wants a hub id, owner/name: {error}") from None
    if constants.HF_HUB_OFFLINE:
        raise RunError(
            f"Cannot push to {repository}: HF_HUB_OFFLINE is set. Leave --push out, and upload the folder later: "
            f"hf upload {repository} FOLDER"
        )
    if get_token() is None:
        raise RunError(f"Cannot push to {repository}: nobody is logged in. Run: hf auth login")
    if not hub_answers(repository):
        raise RunError(f"Cannot push to {repository}: {constants.ENDPOINT} does not answer. Leave --push out.")
    api = HfApi()
    try:
        api.whoami()
    except Exception as error:  # no connection, an old token: whatever it is, nothing was loaded yet
        raise RunError(_refused(repository, error)) from error
    return api


def _upload(api: HfApi, repository: str, folder: Path) -> None:
    say(f"uploading {folder} to {repository}")
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export of a run of rlvr")
    except (HfHubHTTPError, OSError) as error:
        again = f" The folder {folder} is whole; upload it with: hf upload {repository} {folder}"
        raise RunError(_refused(repository, error) + again) from error


def _refused(repository: str, error: BaseException) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return f"Cannot push to {repository}: {constants.ENDPOINT} says: {reason}."
