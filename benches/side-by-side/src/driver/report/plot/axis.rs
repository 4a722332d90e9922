//! The vertical axis.

use super::canvas::{BOTTOM, Canvas, LEFT, RIGHT, TOP};

/// How values grow along an axis.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scale {
    FromZero,
    Logarithmic,
}

/// Where values lie.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    pub(crate) fn over(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let greatest = values.clone().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        match scale {
            Scale::FromZero => Self::from_zero(greatest),
            Scale::Logarithmic => {
                let least = values.filter(|value| *value > 0.0);
                Self::logarithmic(least.fold(greatest, f64::min), greatest)
            }
        }
    }

    fn from_zero(greatest: f64) -> Self {
        let rough = greatest / 5.0;
        let unit = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step = steps
            .iter()
            .map(|step| step * unit)
            .find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let count = (greatest / step).ceil();
        Self {
            scale: Scale::FromZero,
            low: 0.0,
            high: step * count,
            ticks: (0..=count as u32).map(|n| step * f64::from(n)).collect(),
        }
    }

    fn logarithmic(least: f64, greatest: f64) -> Self {
        let low = least.log10().floor() as i32;
        let high = (greatest.log10().ceil() as i32).max(low + 1);
        Self {
            scale: Scale::Logarithmic,
            low: 10_f64.powi(low),
            high: 10_f64.powi(high),
            ticks: (low..=high).map(|power| 10_f64.powi(power)).collect(),
        }
    }

    /// Returns the height of a value on the canvas.
    pub(crate) fn y(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::FromZero => value / self.high,
            Scale::Logarithmic => {
                (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
            }
        };
        BOTTOM - part * (BOTTOM - TOP)
    }

    pub(crate) fn draw(&self, canvas: &mut Canvas) {
        for tick in &self.ticks {
            let y = self.y(*tick);
            canvas.add(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            ));
            canvas.text(LEFT - 8.0, y + 4.0, "quiet", "end", &shown(*tick));
        }
    }
}

/// Writes a number as short as it can be read.
pub(crate) fn shown(value: f64) -> String {
    if value >= 10_000.0 {
        let thousands = format!("{:.1}", value / 1000.0);
        format!("{}k", thousands.trim_end_matches('0').trim_end_matches('.'))
    } else if value >= 10.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_all_values() {
        let axis = Axis::over(Scale::FromZero, [3.0, 18_066.0].into_iter());
        assert_eq!(axis.ticks, [0.0, 5000.0, 10_000.0, 15_000.0, 20_000.0]);
        let axis = Axis::over(Scale::Logarithmic, [0.4, 70.0].into_iter());
        assert_eq!(axis.ticks.len(), 4);
        assert!(axis.y(0.4) <= BOTTOM && axis.y(70.0) >= TOP);
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.25, 1.0, 200.0, 12_500.0, 150_000.0].map(shown);
        assert_eq!(all, ["0", "0.25", "1", "200", "12.5k", "150k"]);
    }
}
