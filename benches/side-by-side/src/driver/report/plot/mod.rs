//! The plots: SVG that follows the reader's light or dark scheme.

mod axis;
mod bars;
mod canvas;
mod lines;

pub(crate) use {
    axis::Scale,
    bars::bars,
    lines::{Line, lines},
};
