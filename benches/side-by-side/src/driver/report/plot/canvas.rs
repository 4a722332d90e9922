//! The sheet that a plot is drawn on.

use std::fmt::Write;

pub(crate) const WIDTH: f64 = 760.0;
pub(crate) const HEIGHT: f64 = 420.0;
pub(crate) const LEFT: f64 = 74.0;
/// The names of the lines stand to the right of this.
pub(crate) const RIGHT: f64 = 560.0;
pub(crate) const TOP: f64 = 64.0;
pub(crate) const BOTTOM: f64 = 366.0;

/// Colours that stay apart for the colour-blind, on both grounds; classes, so that one file serves
/// both.
const STYLE: &str = "
text{font-family:system-ui,sans-serif;font-size:13px;fill:#0b0b0b}
.title{font-size:16px;font-weight:600}.quiet{fill:#52514e;font-size:12px}
.ground{fill:#fcfcfb}.grid{stroke:#e1e0d9}.axis{stroke:#c3c2b7}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.ours{stroke-width:3.5}
.dot{stroke:#fcfcfb;stroke-width:2}
.s0{stroke:#2a78d6}.f0{fill:#2a78d6}.s1{stroke:#eb6834}.f1{fill:#eb6834}
.s2{stroke:#1baf7a}.f2{fill:#1baf7a}.s3{stroke:#4a3aa7}.f3{fill:#4a3aa7}
.s4{stroke:#eda100}.f4{fill:#eda100}.s5{stroke:#e87ba4}.f5{fill:#e87ba4}
@media (prefers-color-scheme:dark){
text{fill:#fff}.quiet{fill:#c3c2b7}
.ground{fill:#1a1a19}.grid{stroke:#2c2c2a}.axis{stroke:#383835}.dot{stroke:#1a1a19}
.s0{stroke:#3987e5}.f0{fill:#3987e5}.s1{stroke:#d95926}.f1{fill:#d95926}
.s2{stroke:#199e70}.f2{fill:#199e70}.s3{stroke:#9085e9}.f3{fill:#9085e9}
.s4{stroke:#c98500}.f4{fill:#c98500}.s5{stroke:#d55181}.f5{fill:#d55181}}
";

/// How many colours there are.
pub(crate) const COLOURS: usize = 6;

pub(crate) struct Canvas(String);

impl Canvas {
    pub(crate) fn new(title: &str, below: &str) -> Self {
        let mut canvas = Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\n",
            escaped(title)
        ));
        canvas.text(16.0, 26.0, "title", "start", title);
        canvas.text(16.0, 46.0, "quiet", "start", below);
        canvas
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, text: &str) {
        let text = escaped(text);
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    pub(crate) fn add(&mut self, element: &str) {
        let _ = writeln!(self.0, "{element}");
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
