"""Set-up takes the CPU build of torch where that is the right one, and never waits long: real pip, indexes on 127.0.0.1."""

import os
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scripts.install_torch import ask, choose
from tests.conftest import REPO

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has two builds to choose from")


def wheel(path, version):
    """Write an empty wheel of torch, as small as pip takes it."""
    info = f"torch-{version}.dist-info"
    with zipfile.ZipFile(path / f"torch-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def indexes(tmp_path):
    """Serve /cpu (torch 99+cpu), /pypi (torch 99), /silent (never answers), /broken (a dead link) and /portal (no index)."""
    wheel(tmp_path, "99.0+cpu")
    wheel(tmp_path, "99.0")
    release = threading.Event()
    links = {"cpu": "torch-99.0+cpu-py3-none-any.whl", "pypi": "torch-99.0-py3-none-any.whl"}
    pages = {f"/{name}/torch/": f'<a href="/files/{link}">{link}</a>' for name, link in links.items()}
    pages |= {"/broken/torch/": '<a href="/gone/torch-99.0+cpu-py3-none-any.whl">torch-99.0+cpu-py3-none-any.whl</a>'}
    pages |= {"/portal/torch/": "Welcome to the hotel. Please log in."}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/silent"):
                release.wait(30)
            file = tmp_path / self.path.removeprefix("/files/").replace("%2B", "+")
            body = file.read_bytes() if self.path.startswith("/files/") else pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "application/zip" if file.suffix == ".whl" else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.02])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def install(tmp_path, indexes, index, wish="", nvidia=False):
    """Run the script as make setup does, into a folder; return its result and the version that is there then."""
    tools, site = tmp_path / "tools", tmp_path / "site"
    tools.mkdir()
    if nvidia:
        (tools / "nvidia-smi").write_text("#!/bin/sh\n")
        (tools / "nvidia-smi").chmod(0o755)
    # -S hides the torch of this environment, PYTHONPATH gives pip back
    pip = next(p for p in sys.path if os.path.isdir(os.path.join(p, "pip")))
    (tmp_path / "only_pip").mkdir()
    (tmp_path / "only_pip" / "pip").symlink_to(os.path.join(pip, "pip"))
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    env |= {"PATH": f"{tools}:/bin", "PYTHONPATH": str(tmp_path / "only_pip"), "PIP_CONFIG_FILE": os.devnull}
    env |= {
        "TORCH": wish,
        "TORCH_INDEX": f"{indexes}/{index}",
        "PIP_INDEX_URL": f"{indexes}/pypi",
        "PYTHONNOUSERSITE": "1",
    }
    own = ["--wait", "0.5", "--target", str(site), "--no-cache-dir"]
    command = [sys.executable, "-S", str(REPO / "scripts" / "install_torch.py"), *own]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    return done, [path.name for path in site.glob("torch-*.dist-info")]


def test_the_cpu_index_is_taken_where_it_answers(tmp_path, indexes):
    done, found = install(tmp_path, indexes, "cpu")
    assert (done.returncode, found) == (0, ["torch-99.0+cpu.dist-info"]), done.stderr
    assert f"the CPU build from {indexes}/cpu (no nvidia-smi" in done.stdout


@pytest.mark.parametrize(("index", "why"), [("silent", "no answer within 0.5 s"), ("broken", "pip failed")])
def test_an_index_that_fails_leaves_it_to_pip_and_the_size_is_said(tmp_path, indexes, index, why):
    done, found = install(tmp_path, indexes, index)
    assert (done.returncode, found) == (0, ["torch-99.0.dist-info"]), done.stderr
    assert why in done.stdout
    assert "2.7 GB in 29 wheels" in done.stdout


def test_a_gpu_leaves_it_to_pip(tmp_path, indexes):
    done, found = install(tmp_path, indexes, "cpu", nvidia=True)
    assert (done.returncode, found) == (0, ["torch-99.0.dist-info"]), done.stderr
    assert "nvidia-smi is here" in done.stdout


def test_only_an_index_with_torch_is_taken_and_a_wish_comes_first(indexes):
    taken = {name: choose("auto", "linux", False, f"{indexes}/{name}", 5) for name in ("cpu", "absent", "portal")}
    assert [name for name, (from_index, _) in taken.items() if from_index] == ["cpu"]
    assert "404" in taken["absent"][1]
    assert "lists no torch" in taken["portal"][1]
    nowhere = "http://127.0.0.1:1"
    assert "refused" in choose("auto", "linux", False, nowhere, 5)[1]
    assert choose("cpu", "linux", True, nowhere, 5)[0] is True
    assert choose("cuda", "linux", False, f"{indexes}/cpu", 5)[0] is False


def test_the_wish_for_the_cpu_build_is_never_answered_by_another(tmp_path, indexes):
    done, found = install(tmp_path, indexes, "absent", "cpu")
    assert done.returncode != 0
    assert found == []
    assert "TORCH=cpu rules out another build" in done.stderr


def test_where_torch_is_installed_no_index_is_asked():
    env = os.environ | {"PIP_NO_INDEX": "1", "TORCH": "", "TORCH_INDEX": "http://127.0.0.1:1"}
    command = [sys.executable, str(REPO / "scripts" / "install_torch.py"), "-c", str(REPO / "constraints.txt")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_an_unknown_wish_installs_nothing(tmp_path, indexes):
    done, found = install(tmp_path, indexes, "cpu", "rocm")
    assert (done.returncode, found) == (2, [])
    assert done.stderr == "TORCH=rocm: cpu, cuda, or nothing to let the machine decide.\n"


def test_a_silent_index_costs_the_limit_and_no_more(indexes):
    start = time.perf_counter()
    assert ask(f"{indexes}/silent", 0.3) == "no answer within 0.3 s"
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_have_one_build_and_ask_no_index(platform):
    assert choose("auto", platform, False, "http://127.0.0.1:1", 0.1)[0] is False
    assert choose("cpu", platform, False, "http://127.0.0.1:1", 0.1)[0] is False
    with pytest.raises(ValueError, match="which index has CUDA builds"):
        choose("cuda", platform, True, "http://127.0.0.1:1", 0.1)
