"""The report of the comparison on CIFAR-10, of the runs that there are."""

import json

from matplotlib.figure import Figure

from benchmarks.images.models import MODELS, PUBLISHED
from benchmarks.speed.measure import table

TEXT = """# One-layer features of CIFAR-10

Test error in % of a linear SVM on codes of whitened patches of 6 × 6 pixels at all
positions, summed over quadrants (Coates, Ng and Lee, 2011). {settings}

{errors}

![Test error over the number of units](cifar10.png)

Published are the test errors of Coates, Ng and Lee (2011) at 1600 units, of the exact
images and 400,000 patches. Random patches are whitened ones in the place of centres;
PCA has no more than the 108 components of a patch. Settings were chosen with 400 units,
by the SVM's error on a fifth of {choose} training images, and C for each line by its
error on a fifth of all training images. A rectified code is by how much a unit is
above its value at the mean patch; split, a unit gives two numbers, what is above and
what is below, so that there are twice as many features. The norm of the Jacobian is
that of the pooled code at 16 test images, by probes. Times are of one thread.

{details}
"""

# Of the curves, by what is made of the code.
MARKERS = {"auto": "o", "rectified": "^", "split": "s"}


def percent(row):
    """Return the test error in per cent."""
    return 100 * float(row["test_error"])


def by_units(runs):
    """Return the rows of each model and number of patches, by the number of units."""
    found = {}
    for row in runs:
        line = found.setdefault((row["model"], int(row["patches"])), {})
        line[int(row["units"])] = row
    order = list(MODELS)
    lines = sorted(found, key=lambda line: (order.index(line[0]), line[1]))
    return {line: found[line] for line in lines}


def label(name, patches, found):
    """Name a line, with its patches if they are more than others'."""
    more = patches > min(other for _, other in found)
    return MODELS[name].name + (f", {patches:,} patches" if more else "")


def errors(found):
    """Return the table of errors over the number of units."""
    units = sorted({n for rows in found.values() for n in rows if n})
    lines = []
    for (name, patches), rows in found.items():
        cells = [f"{percent(rows[n]):.1f}" if n in rows else "" for n in units]
        if name == "raw":
            cells = [f"{percent(rows[0]):.1f}"] * len(units)
        published = PUBLISHED.get(name, "")
        lines.append([label(name, patches, found), *cells, published])
    return table(["patches by", *(f"{n} units" for n in units), "published"], lines)


def details(found):
    """Return the table of what was chosen, and what it took."""
    header = ["patches by", "units", "settings", "features", "C", "held-out error, %"]
    header += ["fit, s", "encode an image, ms", "‖J‖"]
    lines = []
    for (name, patches), rows in found.items():
        for n, row in sorted(rows.items()):
            settings = json.loads(row["settings"])
            chosen = ", ".join(f"{key}={value}" for key, value in settings.items())
            line = [label(name, patches, found), n or "", chosen]
            line += [row["n_features"], row["C"]]
            line.append(f"{100 * float(row['validation_error']):.1f}")
            names = ["fit_s", "encode_ms_per_image", "jacobian_norm"]
            lines.append(line + [row[name].replace("nan", "") for name in names])
    return table(header, lines)


def family(name):
    """Name a model without what is made of its code."""
    return name.removesuffix("-r").removesuffix("-s")


def draw(found):
    """Draw the errors over the number of units."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    families = list(dict.fromkeys(family(name) for name, _ in found))
    for (name, patches), rows in found.items():
        line = label(name, patches, found)
        if name == "raw":
            axes.axhline(percent(rows[0]), color="0.6", ls=":", label=line)
            continue
        units = sorted(rows)
        is_ours = name.startswith("cae")
        axes.plot(
            units,
            [percent(rows[n]) for n in units],
            "-" if is_ours else "--",
            color=f"C{(families.index(family(name)) - 1) % 10}",
            marker=MARKERS[MODELS[name].code],
            # Hollow, where there are more patches than elsewhere.
            mfc=None if line == MODELS[name].name else "white",
            lw=2 if is_ours else 1,
            label=line,
        )
    axes.set_xscale("log")
    ticks = sorted({n for rows in found.values() for n in rows if n})
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.set(xlabel="units", ylabel="test error, %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def write(runs, folder):
    """Write the report of runs that differ in model, units and patches alone."""
    found, last = by_units(runs), runs[-1]
    fewest = min(patches for _, patches in found)
    settings = (
        f"{last['train']} training images and {last['test']} test images of "
        f"`{last['data']}`, {fewest} patches, {last['epochs']} epochs, seed "
        f"{last['seed']}."
    )
    text = TEXT.format(
        settings=settings,
        errors=errors(found),
        choose=last["choose"],
        details=details(found),
    )
    (folder / "cifar10.md").write_text(text, encoding="utf-8")
    draw(found).savefig(folder / "cifar10.png", dpi=150)
