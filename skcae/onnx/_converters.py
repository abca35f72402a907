"""What skl2onnx is to do with each estimator."""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_array, check_is_fitted

import skcae
from skcae._core.data.arrays import Array
from skcae._core.extras import imported
from skcae._core.layers.layer import Layer
from skcae._encoders.steps import (
    decoding_layers,
    encoding_layers,
)
from skcae.onnx._checks import (
    check_calibration,
    check_labels,
    check_options,
    check_zipmap,
    last_steps,
)
from skcae.onnx._graph import Graph, add_layers, add_scores, add_softplus
from skcae.persistence._parts import everything_in

# Named as skl2onnx names it for its outlier detectors and mixtures.
ENCODER_OPTIONS = {"score_samples": [False, True]}
# What skl2onnx lets the user choose about a classifier's outputs.
CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [False, True],
    "raw_scores": [True, False],
}


def to_onnx(
    estimator: Any,
    X: Any,
    *,
    options: dict[Any, Any] | None = None,
    target_opset: int | dict[str, int] | None = None,
) -> Any:
    """Convert a fitted estimator, or a pipeline with some in it, to ONNX.

    The graph takes any number of rows. It has what `transform` or `predict` returns,
    for a classifier the labels and then the probabilities. Regressors of scikit-learn
    give a column of their values, as skl2onnx has it.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of skcae, or any of scikit-learn's that skl2onnx converts,
        such as a `Pipeline`.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows like those that the graph is to take; one is enough. Only their number of
        features counts, and their type: the graph computes in float32 if X is
        float32, and in float64 otherwise.

    options : dict, default=None
        Options of skl2onnx. None gives a classifier's probabilities as an array,
        which for skl2onnx is the option `zipmap=False`. `{"score_samples": True}`
        gives what an encoder's `score_samples` returns as an output of that name.

    target_opset : int or dict, default=None
        The version of ONNX's operators, see skl2onnx. None stands for the newest that
        it was tested with.

    Returns
    -------
    model : onnx.ModelProto
        The graph. Its input is called X.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If X is not made of numbers, or has another number of features than the
        estimator was fitted on; if ONNX has no place for the labels, or for the
        dictionaries of float64 that `zipmap=True` asks for; or if skl2onnx would make
        another model of a `CalibratedClassifierCV`.

    See Also
    --------
    register_converters : For what skl2onnx's own functions can do beyond that.

    Examples
    --------
    >>> from onnxruntime import InferenceSession
    >>> from sklearn.datasets import load_digits
    >>> from skcae import ContractiveAutoencoder
    >>> from skcae.onnx import to_onnx
    >>> X = load_digits().data.astype("float32") / 16
    >>> cae = ContractiveAutoencoder(32, max_iter=20, tol=0.1, random_state=0).fit(X)
    >>> model = to_onnx(cae, X[:1])
    >>> session = InferenceSession(model.SerializeToString())
    >>> (codes,) = session.run(None, {"X": X})
    >>> bool(abs(codes - cae.transform(X)).max() < 1e-5)
    True
    """
    register_converters()
    for kind in {type(part) for part in everything_in(estimator)}:
        _register(kind)
    check_is_fitted(estimator)
    check_calibration(estimator)
    row = _row_like(estimator, X)
    options = _array_outputs(estimator) if options is None else options
    options = _with_scores_of_the_last_step(estimator, options)
    model = _skl2onnx().to_onnx(
        estimator, row, options=options, target_opset=target_opset
    )
    if any(node.op_type == "ZipMap" for node in model.graph.node):
        check_zipmap(is_double=row.dtype == np.float64)
    if _has_one_value(last_steps(estimator)[-1]):
        _flatten_output(model)
    return model


def register_converters() -> None:
    """Make the estimators of skcae known to skl2onnx.

    From then on its own `to_onnx` and `convert_sklearn` convert them, alone and inside
    the estimators that it knows. To call it again changes nothing.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    See Also
    --------
    to_onnx : Registers and converts.

    Examples
    --------
    >>> from skcae.onnx import register_converters
    >>> register_converters()
    """
    _skl2onnx()
    for name in skcae.__all__:
        _register(getattr(skcae, name))


def _register(estimator: Any) -> None:
    """Make a class known to skl2onnx, by what it can be asked, if it is one of ours."""
    register = _skl2onnx().update_registered_converter
    if hasattr(estimator, "_encoding_layers"):
        register(
            estimator,
            _alias_of(estimator),
            _set_encoder_shapes,
            _convert_encoder,
            parser=_parse_encoder,
            options=ENCODER_OPTIONS,
        )
    elif hasattr(estimator, "_network_layers") and hasattr(estimator, "predict_proba"):
        register(
            estimator,
            _alias_of(estimator),
            _set_classifier_shapes,
            _convert_classifier,
            parser=_parse_classifier,
            options=CLASSIFIER_OPTIONS,
        )
    elif hasattr(estimator, "_network_layers"):
        alias = _alias_of(estimator)
        register(estimator, alias, _set_regressor_shape, _convert_regressor)


def _alias_of(estimator: type) -> str:
    """Return the name of skl2onnx's for a class, which tells it from others."""
    return f"Skcae{estimator.__name__}"


def _skl2onnx() -> Any:
    return imported("skl2onnx", extra="onnx", for_what="Export to ONNX")


# ---- what the graph takes and gives ---------------------------------------------


def _row_like(estimator: Any, X: Any) -> Array:
    """Return a row like those of X, which must be like those that were fitted."""
    floats = (np.float64, np.float32)
    try:
        X = check_array(X, accept_sparse=True, dtype=floats, ensure_all_finite=False)
    except ValueError as error:
        raise ValueError(
            f"X must be a matrix of numbers, but: {error} For columns of other types "
            "call register_converters(), and then skl2onnx.to_onnx with the type of "
            "each."
        ) from error
    n_features = getattr(estimator, "n_features_in_", X.shape[1])
    if X.shape[1] != n_features:
        raise ValueError(
            f"X has {X.shape[1]} features, but this {type(estimator).__name__} was "
            f"fitted on {n_features}. Pass rows like those."
        )
    return np.zeros((1, n_features), X.dtype)


def _array_outputs(estimator: Any) -> dict[int, dict[str, bool]] | None:
    """Return the options by which a classifier's probabilities are an array.

    They name what stands around the classifier too: a pipeline that is not told
    otherwise asks its last step for a zipmap, which a LinearSVC does not even have.
    """
    if not is_classifier(estimator):
        return None
    steps = last_steps(estimator)
    has_zipmap = not isinstance(steps[-1], LinearSVC)
    return {id(step): {"zipmap": False} if has_zipmap else {} for step in steps}


def _with_scores_of_the_last_step(
    estimator: Any, options: dict[Any, Any] | None
) -> dict[Any, Any] | None:
    """Hand `score_samples` down to the step whose scores a pipeline's are.

    skl2onnx hands down none but a classifier's options, and ignores the others.
    """
    *around, last = last_steps(estimator)
    if not around or "score_samples" not in (options or {}):
        return options
    others = dict(options or {})
    asked = {"score_samples": others.pop("score_samples")}
    return {**others, id(last): {**others.get(id(last), {}), **asked}}


def _has_one_value(estimator: Any) -> bool:
    """Tell whether an estimator is a network that predicts one value for each row."""
    if not (hasattr(type(estimator), "_network_layers") and is_regressor(estimator)):
        return False
    return len(estimator.intercepts_[-1]) == 1


def _flatten_output(model: Any) -> None:
    """Make a graph's only output, which is a column, one-dimensional."""
    helper, graph = import_module("onnx.helper"), model.graph
    (output,) = graph.output
    column = f"{output.name}_column"
    for node in graph.node:
        names = [column if name == output.name else name for name in node.output]
        node.output[:] = names
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(np.int64))
    shape = helper.make_tensor(f"{output.name}_shape", kind, [1], [-1])
    graph.initializer.append(shape)
    names = [column, shape.name]
    graph.node.append(helper.make_node("Reshape", names, [output.name], "Flatten"))
    del output.type.tensor_type.shape.dim[1]


# ---- what skl2onnx calls --------------------------------------------------------


def _parse_encoder(
    scope: Any, model: Any, inputs: Any, custom_parsers: Any = None
) -> Any:
    """Say what an encoder gives: codes, and scores if they are asked for."""
    types = import_module("skl2onnx.common.data_types")
    operator = scope.declare_local_operator(_alias_of(type(model)), model)
    operator.inputs = inputs
    asked = scope.get_options(model, {"score_samples": False})["score_samples"]
    for name in ("variable", "score_samples") if asked else ("variable",):
        kind = types.guess_tensor_type(inputs[0].type)
        operator.outputs.append(scope.declare_local_variable(name, kind))
    return operator.outputs


def _parse_classifier(
    scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None
) -> Any:
    """Say what a classifier gives, as skl2onnx does, if a graph can hold it."""
    types = import_module("skl2onnx.common.data_types")
    check_labels(scope, model)
    check_options(scope, model)
    if scope.get_options(model, {"zipmap": True})["zipmap"] is True:
        check_zipmap(is_double=isinstance(inputs[0].type, types.DoubleTensorType))
    parse = import_module("skl2onnx._parse")._parse_sklearn_classifier
    outputs = parse(scope, model, inputs, custom_parsers)
    if scope.get_options(model, {}).get("output_class_labels", False):
        _give_labels(scope, model, outputs[-1])
    return outputs


def _set_shape(operator: Any, layers: list[Layer]) -> None:
    """Say what layers give: a matrix of the input's precision."""
    types = import_module("skl2onnx.common.data_types")
    checks = import_module("skl2onnx.common.utils")
    good = [types.DoubleTensorType, types.FloatTensorType]
    good += [types.Int64TensorType, types.BooleanTensorType]
    checks.check_input_and_output_numbers(operator, 1, [1, 2])
    checks.check_input_and_output_types(operator, good)
    (rows,), result = operator.inputs, operator.outputs[0]
    result.type = types.guess_tensor_type(rows.type)
    result.type.shape = [rows.get_first_dimension(), layers[-1].n_units]


def _set_encoder_shapes(operator: Any) -> None:
    """Say what an encoder gives: a matrix of codes, and a score for each row."""
    _set_shape(operator, encoding_layers([operator.raw_operator]))
    codes, *scores = operator.outputs
    for score in scores:
        score.type = type(codes.type)([codes.type.shape[0]])


def _set_regressor_shape(operator: Any) -> None:
    """Say what a regressor gives: a matrix of values."""
    _set_shape(operator, operator.raw_operator._network_layers())


def _set_classifier_shapes(operator: Any) -> None:
    """Say what a classifier gives: labels, and a column for each class."""
    shapes = import_module("skl2onnx.common.shape_calculator")
    check_labels(operator.scope_inst, operator.raw_operator)
    shapes.calculate_linear_classifier_output_shapes(operator)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    """Convert a regressor: its values."""
    network = operator.raw_operator
    steps = network._preprocessing()
    graph, features = _graph_and_features(scope, operator, container, steps)
    values = add_layers(graph, network._network_layers(), features)
    graph.give(values, operator.outputs[0])


def _convert_encoder(scope: Any, operator: Any, container: Any) -> None:
    """Convert an encoder: codes, and minus the loss of what they are decoded to."""
    encoder = operator.raw_operator
    graph, features = _graph_and_features(scope, operator, container, [])
    codes = add_layers(graph, encoding_layers([encoder]), features)
    graph.give(codes, operator.outputs[0])
    for scores in operator.outputs[1:]:
        found = add_scores(graph, decoding_layers([encoder]), codes, features)
        graph.give(found, scores)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    """Convert a classifier: labels and probabilities."""
    network = operator.raw_operator
    steps = network._preprocessing()
    graph, features = _graph_and_features(scope, operator, container, steps)
    layers = _with_an_output_per_class(network._network_layers())
    outputs = add_layers(graph, layers, features)
    graph.give(_labels(graph, network, outputs), operator.outputs[0])
    graph.give(_probabilities(graph, network, outputs), operator.outputs[1])


def _with_an_output_per_class(layers: list[Layer]) -> list[Layer]:
    """Give the first of two classes an output too: minus that of the second."""
    *hidden, last = layers
    if last.n_units > 1:
        return layers
    both = {name: torch.cat([-part, part]) for name, part in last.parameters.items()}
    return [*hidden, last.with_parameters(both)]


def _labels(graph: Graph, network: Any, outputs: str) -> str:
    """Add the label of the largest output, or of several 1 for each above 0."""
    if network.multilabel_:
        return graph.cast(graph.node("Greater", outputs, graph.numbers(0)), np.int64)
    largest = graph.node("ArgMax", outputs, axis=1, keepdims=0)
    classes = graph.constant(_classes(graph.scope, network))
    return graph.node("Gather", classes, largest)


def _probabilities(graph: Graph, network: Any, outputs: str) -> str:
    """Add what makes outputs probabilities; the option `raw_scores` leaves it out."""
    if graph.scope.get_options(network, {"raw_scores": False})["raw_scores"]:
        return outputs
    if network.multilabel_ or len(network.classes_) == 2:
        return graph.node("Sigmoid", outputs)
    if network.output_ == "sigmoid":
        # The softmax of logarithms divides by the sum: log s(z) = −log(1 + exp(−z)).
        outputs = graph.node("Neg", add_softplus(graph, graph.node("Neg", outputs)))
    return graph.node("Softmax", outputs)


def _classes(scope: Any, network: Any) -> Array:
    """Return the labels, which to ONNX are strings or integers, or their positions."""
    utils = import_module("skl2onnx.common.utils_classifier")
    classes: Array = utils.get_label_classes(scope, network)
    return classes.astype(object if isinstance(classes[0], str) else np.int64)


def _give_labels(scope: Any, network: Any, output: Any) -> None:
    """Make an output the labels; skl2onnx knows them of three types only."""
    types = import_module("skl2onnx.common.data_types")
    labels = _classes(scope, network)
    (operator,) = (node for node in scope.operators.values() if output in node.outputs)
    operator.classes = labels
    is_text = labels.dtype == object
    kind = types.StringTensorType if is_text else types.Int64TensorType
    output.set_type(kind(labels.shape))


def _graph_and_features(
    scope: Any, operator: Any, container: Any, steps: list[Any]
) -> tuple[Graph, str]:
    """Return where nodes go, and the name of what follows these fixed steps."""
    types = import_module("skl2onnx.common.data_types")
    (rows,) = operator.inputs
    is_double = isinstance(rows.type, types.DoubleTensorType)
    graph = Graph(scope, container, np.dtype(np.float64 if is_double else np.float32))
    if steps:
        return graph, graph.cast(_preprocessed(scope, steps, rows))
    # Some of skl2onnx's steps give float32 whatever they say.
    is_single = isinstance(rows.type, types.FloatTensorType)
    is_right = is_single or (is_double and bool(rows.is_root))
    return graph, rows.full_name if is_right else graph.cast(rows.full_name)


def _preprocessed(scope: Any, steps: list[Any], rows: Any) -> str:
    """Leave scikit-learn's steps to skl2onnx, and return the name of the result."""
    types = import_module("skl2onnx.common.data_types")
    alias = _skl2onnx().get_model_alias(Pipeline)
    pipeline = scope.declare_local_operator(alias, make_pipeline(*steps))
    kind = types.guess_tensor_type(rows.type)
    result = scope.declare_local_variable("features", kind)
    pipeline.inputs.append(rows)
    pipeline.outputs.append(result)
    name: str = result.full_name
    return name
