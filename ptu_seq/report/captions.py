"""What the figures of a report show: headings, alternative texts and captions."""

from __future__ import annotations

#: File name: heading, alternative text, caption. Words in braces are fields of the task; `{run}` is
#: the run whose gates are shown closely.
FIGURES: dict[str, tuple[str, str, str]] = {
    "scores.png": (
        "Score against size",
        "Line chart of the test score against the number of training {examples}, a panel for "
        "each {target} and a line for each method. The table of scores above holds the same "
        "numbers.",
        "Means over seeds; bars show one standard deviation. “all” is not to scale.",
    ),
    "critical_difference.png": (
        "Average ranks",
        "Critical-difference diagram: each method at its average rank over all cells, and bars "
        "that join methods whose ranks do not differ significantly.",
        "1 is the best. Joined methods are not significantly apart (Nemenyi’s test, 0.05).",
    ),
    "gates.png": (
        "What the gates learned",
        "Distribution, mean and standard deviation of the fine-tune gate and the update gate at "
        "each site, a panel for each {target} and size.",
        "Over neurons, positions, test {examples} and seeds. Fine-tune gate: 0 keeps the "
        "{source}’s activation as it is, 1 replaces it by its re-tuned candidate. Update gate: 0 "
        "passes the {target}’s own activation on, 1 passes the {source}’s. (The "
        "equations behind the gates are this project’s reconstruction of the paper.)",
    ),
    "examples.png": (
        "What the networks see",
        "One training image of each class, a row for the {source} and for each {target}.",
        "In the size and the colours that the networks read.",
    ),
    "gate_maps.png": (
        "Where the gates are open",
        "Test images of a {target}, and beside each the update gate at every site of the network.",
        "Mean over channels at each position; where a site has no positions, a column of its "
        "features, the most open first. Bright: the {source}’s activation is used.",
    ),
    "gate_shares.png": (
        "What each layer is made of",
        "A bar for each site, from the input up, cut into the target’s own share, the source’s as "
        "it was and the source’s re-tuned; a panel for each {target} and size.",
        "With both gates of a neuron: 1 − u, u (1 − f) and u f, means over neurons, positions, "
        "test {examples} and seeds.",
    ),
    "gate_neurons.png": (
        "Neuron by neuron",
        "Heat maps of the mean update and fine-tune gate of every neuron, a panel for each site, "
        "ordered by the update gate.",
        "Bright: open. Of the run {run}, over its test {examples}.",
    ),
    "gate_steps.png": (
        "Along the sentence",
        "Line chart of the mean of both gates against the position of the token, a line for each "
        "site.",
        "Of the run {run}, over neurons and test {examples}; positions that fewer than five "
        "{examples} reach are left out.",
    ),
    "gate_training.png": (
        "While it was trained",
        "Line chart of the mean of both gates against training steps, a line for each site.",
        "Of the run {run}, over neurons and a few validation {examples}.",
    ),
    "layer_curve.png": (
        "Layers frozen and tuned, beside the gates",
        "Line charts of the validation score against the number of layers that come from the "
        "{source}, frozen or tuned, and beneath each a bar chart of the share of every site that "
        "the units took from the {source}.",
        "As in Yosinski et al. (2014): the first layers come from the {source}, the others start "
        "at random. Best of the learning rates tried, one seed.",
    ),
    "alignment.png": (
        "A sentence and its translation",
        "Heat map of the attention: tokens of a test sentence down, tokens of its translation "
        "across; beneath, how far each update gate of the decoder was open at each token.",
        "Of the best model. Darker is more; beneath, how much of the {source}’s activation "
        "replaces the {target}’s.",
    ),
}
