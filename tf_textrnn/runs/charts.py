"""Lays out the charts of TensorBoard's Custom Scalars tab."""

# Category → chart → patterns of its tags; a chart shows every run that has such tags.
CHARTS = {
    "loss and accuracy": {"loss": ["loss$"], "accuracy": ["accuracy$"]},
    "F1 on validation": {"macro, and of each label where they are few": ["macro_f1$", "f1/"]},
    "sparsity of the gradients": {
        "embedding and n-grams": ["(embedding|ngrams/kernel)/grad/sparsity$"],
        "other weights": ["(?!embedding/|ngrams/kernel/).*/grad/sparsity$"],
    },
    "optimization": {
        "global norm before clipping": ["gradient_norm$"],
        "fraction of steps clipped": ["clipped_fraction$"],
        "learning rate": ["learning_rate$"],
        "trust in the log-count ratios": ["trust$"],
        "examples a second": ["examples_per_second$"],
    },
}


def custom_charts() -> bytes:
    """Returns the serialized summary that lays out the charts."""
    from tensorboard.plugins.custom_scalar import layout_pb2, summary

    layout = layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=title,
                chart=[
                    layout_pb2.Chart(
                        title=chart, multiline=layout_pb2.MultilineChartContent(tag=tags)
                    )
                    for chart, tags in charts.items()
                ],
            )
            for title, charts in CHARTS.items()
        ]
    )
    return summary.pb(layout).SerializeToString()
