"""Shared by the benches: their virtual environment, timed processes, runs and plans of prune, GGUF files."""

import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "scripts/bench"
FIXTURES = ROOT / "tests/fixtures"
REQUIREMENTS = ("llmcompressor==0.14.0.1", "torch==2.11.0", "transformers==5.17.0",
                "matplotlib==3.11.2")

# Flags of our methods, by their names in the tables.
OURS = {
    "uniform": ["--schedule", "uniform"],
    "kmeans": ["--schedule", "kmeans"],
    "kmeans + refine": ["--schedule", "kmeans", "--refine", "10"],
    "kmeans + alps": ["--schedule", "kmeans", "--solver", "alps", "--refine", "30"],
    "auto": ["--schedule", "auto"],
    "auto + alps": ["--schedule", "auto", "--solver", "alps", "--refine", "30"],
}


def default_venv():
    cache = os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("PRUNE_DEPS", pathlib.Path(cache) / "prune")) / "peers"


def enter_venv(folder):
    """Continues in the virtual environment of this folder, made if it is missing; returns its Python."""
    folder = folder.absolute()
    python, marker = folder / "bin/python", folder / ".installed"
    wanted = "\n".join(REQUIREMENTS)
    # The marker is written last, so an interrupted installation starts again.
    if not marker.exists() or marker.read_text() != wanted:
        print(f"installing {' '.join(REQUIREMENTS)} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        *REQUIREMENTS], check=True)
        marker.write_text(wanted)
    if pathlib.Path(sys.prefix) != folder:
        os.execv(python, [str(python), *sys.argv])
    return python


def run_process(command, threads):
    """Runs a process to its end; returns its wall and CPU seconds and its peak resident memory."""
    words = [str(word) for word in command]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
                   "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-3000:])
            sys.exit(f"exit code {process.returncode}: {' '.join(words)}")
    return {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_host_bytes": usage.ru_maxrss * 1024}


def prune_flags(model, method, arguments):
    """Flags of a run with the flags of a method (OURS); `prune plan` takes the same."""
    return ["--model", model, "--target", arguments.target, *method, "--calibration",
            arguments.calibration, "--nsamples", arguments.nsamples, "--seqlen", arguments.seqlen,
            "--seed", 0, "--threads", arguments.threads, "--device", arguments.device]


def run_plan(flags, arguments):
    """Returns what `prune plan` predicts for these flags."""
    words = [str(w) for w in [arguments.build / "bin/prune", "plan", *flags, "--json", "--quiet"]]
    plan = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    return {"wall_s": sum(plan["elapsed_s"].values()), "elapsed_s": plan["elapsed_s"],
            "peak_host_bytes": plan["peak_memory_bytes"]["host"],
            "peak_device_bytes": plan["peak_memory_bytes"]["device"]}


def run_prune(flags, output, arguments):
    """Runs prune once; returns its figures and its report."""
    figure = run_process([arguments.build / "bin/prune", *flags, "--output", output, "--quiet"],
                         arguments.threads)
    report = json.loads((output / "prune_report.json").read_text())
    figure["peak_device_bytes"] = report["peak_memory_bytes"]["device"]
    figure["elapsed_s"] = dict(report["elapsed_s"])
    return figure, report


class Results:
    """The finished runs, one JSON object per line."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.rows = [json.loads(line) for line in path.read_text().splitlines()] \
            if path.exists() else []

    def has(self, key):
        return any(all(row[name] == value for name, value in key.items()) for row in self.rows)

    def add(self, row):
        with self.lock, open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")
            self.rows.append(row)


def find_llama_converter():
    """llama.cpp's converter of the installed llama-cpp-python, or None without that package."""
    try:
        version = importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return None
    parts = ("convert_hf_to_gguf.py", "conversion/", "gguf-py/")
    folder = default_venv().parent / f"llama-cpp-python-{version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            # pip makes the metadata of the package, but compiles nothing.
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                            "--disable-pip-version-check", "--no-binary", "llama-cpp-python",
                            "--dest", name, f"llama-cpp-python=={version}"], check=True)
            archive, = pathlib.Path(name).glob("*.tar.gz")
            with tarfile.open(archive) as files:
                for member in files.getmembers():
                    _, _, path = member.name.partition("/vendor/llama.cpp/")
                    if path.startswith(parts):
                        member.name = path
                        files.extract(member, pathlib.Path(name, "converter"), filter="data")
            pathlib.Path(name, "converter").rename(folder)
    return folder / parts[0]


def convert_to_gguf(converter, model, output, threads):
    """Writes the checkpoint in BF16; a file of that name is replaced once the new one is complete."""
    partial = output.with_suffix(".partial.gguf")
    run_process([sys.executable, converter, model, "--outfile", partial, "--outtype", "bf16"],
                threads)
    partial.rename(output)


def draw_tokens(python, model, output, arguments, seed=0):
    """Writes the calibration tokens for the peers; returns their hash."""
    words = [python, BENCH / "peer_tokens.py", model / "tokenizer.json", arguments.calibration,
             arguments.nsamples, arguments.seqlen, output, seed]
    return subprocess.run([str(word) for word in words], check=True,
                          stdout=subprocess.PIPE).stdout.decode().strip()


def perplexity(output, model, data, arguments, dtype="auto"):
    """Perplexity by `prune eval`, with the model's tokenizer if a peer did not write one."""
    if not (output / "tokenizer.json").exists():
        shutil.copy(model / "tokenizer.json", output)
    words = [arguments.build / "bin/prune", "eval", "--model", output, "--data", data, "--seqlen",
             arguments.seqlen, "--segments", arguments.segments, "--device", arguments.device,
             "--threads", arguments.threads, "--dtype", dtype, "--json", "--quiet"]
    result = subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)["perplexity"]


def middle(runs, key):
    return statistics.median(run[key] for run in runs)


def spread(runs, key, digits=1, scale=1.0):
    """Median as text, with the smallest and largest if there are several runs."""
    values = [run[key] / scale for run in runs]
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return text
    return f"{text} ({min(values):.{digits}f} .. {max(values):.{digits}f})"


def mean_and_range(values):
    text = f"{sum(values) / len(values):.2f}"
    return text if len(values) == 1 else f"{text} ({min(values):.2f} .. {max(values):.2f})"


def difference(predicted, measured):
    return f"{100 * (predicted / measured - 1):+.0f} %"


def commit_of(folder):
    result = subprocess.run(["git", "-C", folder, "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True, check=False)
    return result.stdout.strip() or "unknown"


def machine(arguments):
    """Describes the machine for a table's caption and the file of figures."""
    names = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
             if line.startswith("model name")]
    result = {"processor": names[0] if names else platform.processor(), "cores": os.cpu_count(),
              "threads": arguments.threads, "device": arguments.device,
              "load_before": os.getloadavg()[0]}
    if arguments.device.startswith("cuda"):
        result["gpu"] = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True, text=True, check=True).stdout.strip()
    return result


def write_results(folder, name, figures, table, arguments):
    settings = {key: str(value) if isinstance(value, pathlib.Path) else value
                for key, value in vars(arguments).items()}
    figures = {"command": " ".join(sys.argv), "settings": settings, **figures}
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
    (folder / f"{name}.md").write_text(table)
    print(table)
