//! Horizontal bars, each with its name and its value.

use super::{
    axis::shown,
    canvas::{Canvas, TOP, WIDTH},
};

const NAMES: f64 = 190.0;

/// Draws a bar for each; those that are ours have the first colour.
pub(crate) fn bars(title: &str, below: &str, all: &[(String, f64, bool)]) -> String {
    let mut canvas = Canvas::new(title, below);
    let greatest = all
        .iter()
        .map(|bar| bar.1)
        .fold(f64::MIN_POSITIVE, f64::max);
    let room = WIDTH - NAMES - 90.0;
    let row = (300.0 / all.len().max(1) as f64).min(44.0);
    for (index, (name, value, ours)) in all.iter().enumerate() {
        let y = TOP + 14.0 + row * index as f64;
        let (width, height) = (room * value / greatest, row * 0.62);
        let class = if *ours { "f0" } else { "f1" };
        canvas.text(NAMES - 10.0, y + height / 2.0 + 4.5, "name", "end", name);
        canvas.add(&format!(
            "<rect class=\"{class}\" x=\"{NAMES}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\" rx=\"4\"/>"
        ));
        let end = NAMES + width + 8.0;
        canvas.text(
            end,
            y + height / 2.0 + 4.5,
            "quiet",
            "start",
            &shown(*value),
        );
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_has_a_name_and_a_value() {
        let all = [
            ("ours".to_owned(), 30_000.0, true),
            ("bare".to_owned(), 60_000.0, false),
        ];
        let svg = bars("Title", "below", &all);
        assert_eq!(svg.matches("rx=\"4\"").count(), 2);
        assert!(svg.contains(">ours<") && svg.contains(">60k<"));
    }
}
