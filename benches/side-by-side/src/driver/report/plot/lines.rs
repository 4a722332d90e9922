//! Lines over a few places, each with its name at its end.

use super::{
    Scale,
    axis::{Axis, shown},
    canvas::{BOTTOM, COLOURS, Canvas, LEFT, RIGHT},
};

/// How far apart names at the ends of lines are.
const ROW: f64 = 17.0;

/// A line; a place without a value is left out.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) values: Vec<Option<f64>>,
}

/// Draws lines over equally spaced places. The first one is emphasised.
pub(crate) fn lines(
    title: &str,
    below: &str,
    scale: Scale,
    places: &[String],
    all: &[Line],
) -> String {
    let mut canvas = Canvas::new(title, below);
    let values = all.iter().flat_map(|line| line.values.iter().flatten());
    let axis = Axis::over(scale, values.copied());
    axis.draw(&mut canvas);
    let step = (RIGHT - LEFT - 40.0) / (places.len().max(2) - 1) as f64;
    let x = |index: usize| LEFT + 20.0 + step * index as f64;
    for (index, place) in places.iter().enumerate() {
        canvas.text(x(index), BOTTOM + 22.0, "quiet", "middle", place);
    }
    let mut ends = Vec::new();
    for (number, line) in all.iter().enumerate() {
        let places = line.values.iter().enumerate();
        let points: Vec<_> = places
            .filter_map(|(index, value)| value.map(|value| (x(index), axis.y(value), value)))
            .collect();
        draw(&mut canvas, number, line, &points);
        if let Some((_, y, _)) = points.last() {
            ends.push((*y, number));
        }
    }
    write_names(&mut canvas, ends, all);
    canvas.finish()
}

fn draw(canvas: &mut Canvas, number: usize, line: &Line, points: &[(f64, f64, f64)]) {
    let colour = number % COLOURS;
    let path: Vec<_> = points
        .iter()
        .map(|(x, y, _)| format!("{x:.1},{y:.1}"))
        .collect();
    let ours = if number == 0 { " ours" } else { "" };
    canvas.add(&format!(
        "<polyline class=\"line s{colour}{ours}\" points=\"{}\"/>",
        path.join(" ")
    ));
    for (x, y, value) in points {
        canvas.add(&format!(
            "<circle class=\"dot f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\">\
             <title>{}: {}</title></circle>",
            super::canvas::escaped(&line.name),
            shown(*value)
        ));
    }
}

/// Writes the names from top to bottom, with room between them.
fn write_names(canvas: &mut Canvas, mut ends: Vec<(f64, usize)>, all: &[Line]) {
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let overlap = ends.len() as f64 * ROW;
    let mut lowest = f64::NEG_INFINITY;
    for (index, (y, number)) in ends.iter().enumerate() {
        let last = BOTTOM - overlap + (index + 1) as f64 * ROW;
        let y = y.min(last).max(lowest + ROW);
        lowest = y;
        let colour = number % COLOURS;
        canvas.add(&format!(
            "<circle class=\"f{colour}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\"/>",
            RIGHT + 14.0
        ));
        canvas.text(RIGHT + 25.0, y + 4.5, "name", "start", &all[*number].name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_drawn_and_named() {
        let line = |name: &str, values: &[Option<f64>]| Line {
            name: name.to_owned(),
            values: values.to_vec(),
        };
        let places = ["1".to_owned(), "64".to_owned()];
        let both = [
            line("ours", &[Some(1.0), Some(5.0)]),
            line("a<b", &[None, Some(5.0)]),
        ];
        let svg = lines("Title", "below", Scale::FromZero, &places, &both);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("r=\"5\">").count(), 3);
        assert!(svg.contains(">ours</text>") && svg.contains(">a&lt;b</text>"));
    }
}
