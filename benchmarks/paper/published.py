"""The papers' tables.

Rifai, Vincent, Muller, Glorot and Bengio, "Contractive Auto-Encoders: Explicit
Invariance During Feature Extraction", ICML 2011; Rifai, Dauphin, Vincent, Bengio and
Muller, "The Manifold Tangent Classifier", NIPS 2011.
"""

# Table 1: test error in %, mean ‖J‖²_F / (d·h), saturation in %.
TABLE_1 = {
    "mnist": {
        "CAE": (1.14, 0.73e-4, 86.36),
        "DAE-g": (1.18, 0.86e-4, 17.77),
        "RBM": (1.30, 2.50e-4, 78.59),
        "DAE-b": (1.57, 7.87e-4, 68.19),
        "AE+wd": (1.68, 5.00e-4, 12.97),
        "AE": (1.78, 17.5e-4, 49.90),
    },
    "cifar-bw": {
        "CAE": (47.86, 2.40e-5, 85.65),
        "DAE-b": (49.03, 4.85e-5, 80.66),
        "DAE-g": (54.81, 4.94e-5, 19.90),
        "AE+wd": (55.03, 34.9e-5, 23.04),
        "AE": (55.47, 44.9e-5, 22.57),
    },
}
# Table 2: test error in %.
COLUMNS_2 = ["SVM_rbf", "SAE-3", "RBM-3", "DAE-b-3", "CAE-1", "CAE-2"]
TABLE_2 = {
    "basic": [3.03, 3.46, 3.11, 2.84, 2.83, 2.48],
    "rot": [11.11, 10.30, 10.30, 9.53, 11.59, 9.66],
    "bg-rand": [14.58, 11.28, 6.73, 10.30, 13.57, 10.90],
    "bg-img": [22.61, 23.00, 16.31, 16.68, 16.70, 15.50],
    "bg-img-rot": [55.18, 51.93, 47.39, 43.76, 48.10, 45.23],
    "rect": [2.15, 2.41, 2.60, 1.99, 1.48, 1.21],
    "rect-img": [24.04, 24.05, 22.50, 21.59, 21.86, 21.54],
}
N_TEST_1, N_TEST_2 = 10_000, 50_000
# The manifold tangent classifier's table: test error in % by the number of labels.
FEW_LABELS = {
    "NN": {100: 25.81, 600: 11.44, 1000: 10.7, 3000: 6.04},
    "CAE": {100: 13.47, 600: 6.3, 1000: 4.77, 3000: 3.22},
    "MTC": {100: 12.03, 600: 5.13, 1000: 3.64, 3000: 2.57},
}


def errors_of(data):
    """Return the errors on a data set by model, and the number of test rows."""
    if data in TABLE_2:
        return dict(zip(COLUMNS_2, TABLE_2[data], strict=True)), N_TEST_2
    return {m: row[0] for m, row in TABLE_1.get(data, {}).items()}, N_TEST_1
