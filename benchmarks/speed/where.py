"""Where the time of a training step goes, operation by operation.

python benchmarks/speed/where.py
"""

import argparse

import torch
from measure import table, write
from steps import our_step
from torch.profiler import ProfilerActivity, profile

# torch's names, and what they are in a step.
WHAT = {
    "aten::addmm": "products: encode, decode",
    "aten::mm": "product: back through the decoder",
    "aten::addmm_": "product: weight gradient, folded into the update",
    "aten::mul_": "scaling of W's rows; φ' into dA",
    "aten::linalg_vector_norm": "‖W_j‖ of the new weights",
    "aten::_fused_adam_": "Adam's update",
    "aten::addcmul_": "penalty: path through a; row factors into Adam's gradient",
    "aten::addcmul": "φ', φ''",
    "aten::mul": "penalty: φ'φ''",
    "aten::pow": "penalty: φ'²",
    "aten::sigmoid_": "codes, outputs",
    "aten::addmv_": "intercepts",
    "aten::sum": "penalty: Σφ'²",
    "aten::sub_": "output minus X",
    "aten::add_": "penalty: its shares; Adam's count",
    "aten::_local_scalar_dense": "Adam's count",
    "aten::copy_": "intercepts into the products",
}


def shares(step, n_steps):
    """Return each operation's own part of the time of a step, in %."""
    for _ in range(10):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as record:
        for _ in range(n_steps):
            step()
    times = {e.key: e.self_cpu_time_total for e in record.key_averages()}
    whole = sum(times.values())
    return {name: 100 * time / whole for name, time in times.items()}


def main():
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(1)
    columns = [(n, solver) for solver in ("sgd", "adam") for n in (20, 128, 512)]
    measured = [shares(our_step(784, 1000, n, s), args.steps) for n, s in columns]
    names = sorted(
        {name for column in measured for name in column},
        key=lambda name: -max(column.get(name, 0) for column in measured),
    )
    lines = [
        [f"`{name.removeprefix('aten::')}`", WHAT.get(name, "")]
        + [f"{column.get(name, 0):.1f}" for column in measured]
        for name in names
        if max(column.get(name, 0) for column in measured) >= 0.5
    ]
    header = ["operation", "what", *(f"{solver}, {n}" for n, solver in columns)]
    text = (
        "784→1000, λ = 0.1, cross-entropy, float32, one thread; by solver and batch, "
        "in % of the time that torch's profiler counts, which adds a little to each "
        "operation. What is below 0.5 % everywhere is left out.\n\n"
        + table(header, lines)
    )
    write("where", "Where a step's time goes", text, "python benchmarks/speed/where.py")


if __name__ == "__main__":
    main()
