"""The same training step and the same greedy decoding as the native engine's,
in plain PyTorch, for a comparison of speed, memory and losses.

Reads DIR/model.safetensors, DIR/adapter.safetensors (LoRA only) and
DIR/job.json; prints one JSON object.

    python3 torch_reference.py DIR

REFERENCE_DTYPE=float64 computes everything in double precision: the truth that
the losses of both programs are held against. REFERENCE_NORM=float64 computes in
single precision but for the norm that gradients are clipped by, see clip.
"""

import json
import math
import os
import platform
import statistics
import struct
import sys
import time

import torch
import torch.nn.functional as F


DTYPE = getattr(torch, os.environ.get("REFERENCE_DTYPE", "float32"))


def load(path):
    """The float32 tensors of a safetensors file, by name, as DTYPE."""
    with open(path, "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
        data = bytearray(f.read())
    out = {}
    for name, info in header.items():
        if name == "__metadata__":
            continue
        start, end = info["data_offsets"]
        out[name] = torch.frombuffer(data, dtype=torch.float32, count=(end - start) // 4, offset=start).reshape(info["shape"]).to(DTYPE, copy=True)
    return out


class Llama:
    def __init__(self, arch, weights, adapter, scale):
        self.a, self.w, self.lora, self.scale = arch, weights, adapter, scale
        half = arch["head_dim"] // 2
        freq = arch["rope_theta"] ** (-torch.arange(half, dtype=torch.float64) * 2 / arch["head_dim"])
        angles = torch.outer(torch.arange(1024, dtype=torch.float64), freq)
        self.cos, self.sin = angles.cos().to(DTYPE), angles.sin().to(DTYPE)

    def linear(self, x, name):
        y = x @ self.w[name + ".weight"].T
        a = self.lora.get("base_model.model." + name + ".lora_A.weight")
        if a is not None:
            y = y + (x @ a.T) @ self.lora["base_model.model." + name + ".lora_B.weight"].T * self.scale
        return y

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.a["rms_norm_eps"]) * self.w[name + ".weight"]

    def rope(self, x, first):
        n, half = x.shape[2], x.shape[3] // 2
        cos, sin = self.cos[first:first + n], self.sin[first:first + n]
        lo, hi = x[..., :half], x[..., half:]
        return torch.cat([lo * cos - hi * sin, hi * cos + lo * sin], -1)

    def forward(self, ids, cache=None):
        a = self.a
        batch, n = ids.shape
        first = 0 if not cache else cache[0][0].shape[2]
        x = self.w["model.embed_tokens.weight"][ids]
        mask = torch.full((n, first + n), float("-inf"), dtype=DTYPE).triu(first + 1)
        split = lambda t, heads: t.view(batch, n, heads, a["head_dim"]).transpose(1, 2)
        for i in range(a["num_hidden_layers"]):
            p = f"model.layers.{i}."
            h = self.norm(x, p + "input_layernorm")
            q = self.rope(split(self.linear(h, p + "self_attn.q_proj"), a["num_attention_heads"]), first)
            k = self.rope(split(self.linear(h, p + "self_attn.k_proj"), a["num_key_value_heads"]), first)
            v = split(self.linear(h, p + "self_attn.v_proj"), a["num_key_value_heads"])
            if cache is not None:
                if len(cache) > i:
                    k, v = torch.cat([cache[i][0], k], 2), torch.cat([cache[i][1], v], 2)
                    cache[i] = (k, v)
                else:
                    cache.append((k, v))
            group = a["num_attention_heads"] // a["num_key_value_heads"]
            k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
            s = (q @ k.transpose(2, 3)) / math.sqrt(a["head_dim"]) + mask
            o = (s.softmax(-1) @ v).transpose(1, 2).reshape(batch, n, -1)
            x = x + self.linear(o, p + "self_attn.o_proj")
            h = self.norm(x, p + "post_attention_layernorm")
            gate = F.silu(self.linear(h, p + "mlp.gate_proj")) * self.linear(h, p + "mlp.up_proj")
            x = x + self.linear(gate, p + "mlp.down_proj")
        x = self.norm(x, "model.norm")
        return x @ self.w["model.embed_tokens.weight"].T


def clip(params, most):
    """Clips gradients by their norm, as PyTorch does: it sums squares in single
    precision, which for the 28 million values of a large embedding is off by 3e-4.
    With REFERENCE_NORM the sum is in double precision."""
    if "REFERENCE_NORM" not in os.environ:
        torch.nn.utils.clip_grad_norm_(params, most)
        return
    norm = math.sqrt(sum(p.grad.to(getattr(torch, os.environ["REFERENCE_NORM"])).square().sum().item() for p in params))
    for p in params:
        p.grad.mul_(min(1.0, most / (norm + 1e-6)))


def train(model, job, trainable):
    ids = torch.tensor(job["ids"])
    optim = torch.optim.AdamW(
        [{"params": [p for n, p in trainable.items() if "norm" not in n], "weight_decay": job["weight_decay"]},
         {"params": [p for n, p in trainable.items() if "norm" in n], "weight_decay": 0.0}],
        lr=job["lr"], betas=(0.9, 0.999), eps=1e-8)
    losses, times = [], []
    for _ in range(job["steps"]):
        start = time.perf_counter()
        logits = model.forward(ids[:, :-1])
        first = job["first"]
        loss = F.cross_entropy(logits[:, first - 1:].reshape(-1, logits.shape[-1]), ids[:, first:].reshape(-1))
        loss.backward()
        clip(list(trainable.values()), job["max_grad_norm"])
        optim.step()
        optim.zero_grad()
        times.append(time.perf_counter() - start)
        losses.append(loss.item())
    return losses, times


def generate(model, job):
    prompts = torch.tensor(job["prompts"])
    times = []
    with torch.no_grad():
        for _ in range(job["steps"]):
            start = time.perf_counter()
            cache, ids, out = [], prompts, []
            for _ in range(job["new_tokens"]):
                ids = model.forward(ids, cache)[:, -1].argmax(-1, keepdim=True)
                out.append(ids)
            times.append(time.perf_counter() - start)
    return torch.cat(out, 1).tolist(), times


def gemm(job):
    """The speed of x @ w.T for each shape: the best of many short runs."""
    speeds = []
    for m, n, k in job["shapes"]:
        x, w, out = torch.rand(m, k), torch.rand(n, k).T, torch.empty(m, n)
        runs = max(1, 20_000_000 // (2 * m * n * k))
        best = 0.0
        for _ in range(30):
            start = time.perf_counter()
            for _ in range(runs):
                torch.mm(x, w, out=out)
            best = max(best, 2e-9 * m * n * k * runs / (time.perf_counter() - start))
        speeds.append(best)
    return speeds


def blas():
    """The BLAS and the core it chose, from the libraries this process mapped."""
    names = set()
    with open("/proc/self/maps") as f:
        for line in f:
            base = os.path.basename(line.split()[-1])
            if any(k in base.lower() for k in ("blas", "mkl", "lapack")):
                names.add(base)
    return ", ".join(sorted(names)) + " OPENBLAS_CORETYPE=" + os.environ.get("OPENBLAS_CORETYPE", "")


def peak_bytes():
    """The most memory this process had resident; getrusage's is inherited."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def main():
    directory = sys.argv[1]
    with open(os.path.join(directory, "job.json")) as f:
        job = json.load(f)
    torch.set_num_threads(job["threads"])
    if job["kind"] == "gemm":
        print(json.dumps({"torch": torch.__version__, "blas": blas(), "threads": torch.get_num_threads(), "gflops": gemm(job)}))
        return
    weights = load(os.path.join(directory, "model.safetensors"))
    adapter = load(os.path.join(directory, "adapter.safetensors")) if job["lora"] else {}
    trainable = adapter if job["lora"] else weights
    result = {"torch": torch.__version__, "python": platform.python_version(), "blas": blas(), "threads": torch.get_num_threads()}
    model = Llama(job["arch"], weights, adapter, job["scale"])
    if job["kind"] == "generate":
        result["tokens"], times = generate(model, job)
    else:
        for p in trainable.values():
            p.requires_grad_(True)
        result["losses"], times = train(model, job, trainable)
    result["seconds"] = statistics.median(times[1:] or times)
    result["peak_bytes"] = peak_bytes()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
