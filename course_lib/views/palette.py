"""The colours that every view shares: safe for colour-blind eyes, white where nothing is."""

# One colour for each head: Okabe and Ito (2008), ordered so that the first four stay apart for every eye; two greys
# follow for models with nine or ten heads.
HEADS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6d1f", "#000000", "#7f7f7f", "#b8b8b8")

# Weights from 0 (white) to 1: ColorBrewer "Blues" with a true white at 0.
SEQUENTIAL = ("#ffffff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b")

# Signed numbers from -limit (orange) over 0 (white) to +limit (purple): ColorBrewer "PuOr".
SIGNED = (
    "#7f3b08", "#b35806", "#e08214", "#fdb863", "#fee0b6",
    "#ffffff", "#d8daeb", "#b2abd2", "#8073ac", "#542788", "#2d004b",
)  # fmt: skip

INK, MUTED, GRID, GROUND = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"  # text, less important text, thin lines, card
ACCENT = "#d55e00"  # the current cell, what the reader looks at


def colormap(colors=SEQUENTIAL, name="workshop"):
    """Returns a matplotlib colour map through `colors`: `imshow(weights, cmap=colormap(), vmin=0, vmax=1)`."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(name, colors)
