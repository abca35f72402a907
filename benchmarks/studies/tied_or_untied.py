"""Tied or untied: what a decoder of its own changes, and a penalty on it.

python -m benchmarks.studies.tied_or_untied --mnist FILE --cifar FILE
"""

from functools import partial

from benchmarks.studies.study import (
    Study,
    change,
    chosen,
    drawn_differences,
    less,
    less_base,
    level,
    measured,
    table,
    table_of_sets,
    values,
)
from skcae import DeepCAE

WIDTH, EPOCHS = 64, 30
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0)
# By name: tied or not, and the penalty on the decoder as a part of the encoder's.
ARMS = {
    "tied": (True, 0.0),
    "untied": (False, 0.0),
    "tied, decoder too": (True, 1.0),
    "untied, decoder too": (False, 1.0),
}
MEASURES = {"error": "test error, %", "norm": "‖J‖", "reconstruction": "loss"}


def trials(small):
    """List each kind of decoder with the λ that training rows choose, two without."""
    without = [{"arm": arm, "penalty": 0} for arm in ("tied", "untied")]
    return [*without, *({"arm": arm, "penalty": "chosen"} for arm in ARMS)]


def make(penalty, arm, seed):
    """Make one layer with this decoder."""
    tied, part = ARMS[arm]
    return DeepCAE(
        (WIDTH,),
        jacobian_penalty=penalty,
        decoder_jacobian_penalty=part * penalty,
        tied_weights=tied,
        max_iter=EPOCHS,
        random_state=seed,
    )


def run(data, seed, trial):
    """Measure one decoder."""
    of = partial(make, arm=trial["arm"], seed=seed)
    penalty = trial["penalty"]
    if penalty == "chosen":
        penalty = chosen(of, PENALTIES, data, seed)
    return {"lambda": penalty, **measured(of(penalty), data)}


def report(rows):
    """Say how the decoders differ."""
    lines = []
    for of in trials(False):
        base = {"arm": "tied", "penalty": of["penalty"]}
        found = {name: values(rows, name, **of) for name in MEASURES}
        line = [of["arm"], of["penalty"], *(level(part) for part in found.values())]
        for name, part in found.items():
            n = len(ARMS) - 1 if of["penalty"] else 1
            more = less(part, values(rows, name, **base))
            line.append("" if of == base else change(more, n))
        lines.append(line)
    header = ["decoder", "λ", *MEASURES.values()]
    header += [f"{title}, less tied's" for title in ("error", "‖J‖", "loss")]
    errors = {arm: values(rows, "error", arm=arm, penalty="chosen") for arm in ARMS}
    sets = table_of_sets(errors)
    text = f"{table(header, lines)}\n\nTest error, %, with the chosen λ:\n\n{sets}"
    label = "test error less that of tied weights, points; a dot is a seed"
    return text, drawn_differences(less_base(errors, "tied"), label)


STUDY = Study(
    name="tied_or_untied",
    question="Tied or untied weights, with and without a penalty on the decoder?",
    measure=(
        "Test error of a ridge classifier on the codes, ‖J‖ and the reconstruction "
        f"loss of test rows, one sigmoid layer of {WIDTH} units; λ is 0, or chosen on "
        "training rows for each kind of decoder, and the decoder's penalty is the same "
        "number. An answer is a difference from tied weights whose interval over sets "
        "leaves out 0."
    ),
    trials=trials,
    run=run,
    report=report,
)

if __name__ == "__main__":
    STUDY.main()
