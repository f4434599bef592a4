"""What only a machine with GPUs shows, pretended: several visible to one process, a checkpoint that one of them wrote."""

import pytest
import torch

from rlvr.advantages import build
from rlvr.models.precision import Precision
from rlvr.training.supervised.warmup import Warmup, train
from tests.trainers import StopAt, weights


@pytest.fixture
def two_gpus(monkeypatch):
    """Two visible GPUs, of which transformers hears; the work stays on the CPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(Precision, "arguments", {"use_cpu": False, "bf16": False, "fp16": False})


def test_one_process_takes_one_of_two_gpus(two_gpus, make_trainer):
    """transformers would copy the model to both (DataParallel), which TRL refuses."""
    trainer = make_trainer(advantage=build("grpo"), use_cpu=False, max_steps=1)
    assert trainer.args.n_gpu == 1 and not trainer.args.use_cpu
    trainer.train()
    assert trainer.state.global_step == 1


def test_so_does_the_warm_up(two_gpus, tmp_path):
    train(Warmup("tiny", "arithmetic", 1, 2, 1e-3, 0, 0, ("think", "answer"), None, False, None), tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


def test_the_first_line_of_a_run_says_how_to_use_them_all(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H100")
    assert "one of 2: torchrun --nproc_per_node 2 -m rlvr takes them all" in str(Precision(torch.device("cuda"), True))
    assert "torchrun" not in str(Precision(torch.device("cpu"), False))


def test_a_checkpoint_that_a_gpu_wrote_resumes_without_one(tmp_path, make_trainer, monkeypatch):
    """It holds rollouts for the next step, which say that they lay on `cuda:0`; the other way round it is the same."""

    def trainer(folder):
        return make_trainer(
            folder=folder,
            advantage=build("grpo"),
            max_steps=4,
            steps_per_generation=2,
            per_device_train_batch_size=4,
            save_strategy="steps",
            save_steps=3,
            lr_scheduler_type="constant",
        )

    whole = trainer(tmp_path / "whole")
    whole.train()
    first = trainer(tmp_path / "cut")
    first.add_callback(StopAt(3))
    first.train()
    folder = tmp_path / "cut" / "checkpoint-3"
    (file,) = folder.glob("rlvr_state_rank*.pt")
    state = torch.load(file, weights_only=True)
    assert state["buffer"] is not None
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(state, file)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(file, weights_only=True)
    second = trainer(tmp_path / "cut")
    second.train(resume_from_checkpoint=str(folder))
    assert torch.equal(weights(second), weights(whole))
