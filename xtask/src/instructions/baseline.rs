//! The committed counts.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::step::root;

/// How much more a path may cost before it counts as slower: compilers differ a little.
const TOLERANCE: f64 = 1.05;

/// How many more allocations: a map that grows now and then makes fractions.
const MORE_ALLOCATIONS: f64 = 0.25;

const HEADER: &str = "\
# Instructions (callgrind) and allocations of one iteration of each path.
# `cargo xtask instructions` compares with them; `cargo xtask instructions --update` writes them.
";

/// What one iteration of a path costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    pub(super) instructions: u64,
    pub(super) allocations: f64,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>8} {:>8.2}", self.instructions, self.allocations)
    }
}

/// The costs of all paths, and the compiler that they were counted with.
#[derive(Debug, PartialEq)]
pub(super) struct Baseline {
    compiler: String,
    costs: BTreeMap<String, Cost>,
}

impl Baseline {
    pub(super) const fn new(compiler: String) -> Self {
        Self {
            compiler,
            costs: BTreeMap::new(),
        }
    }

    pub(super) fn insert(&mut self, name: &str, cost: Cost) {
        self.costs.insert(name.to_owned(), cost);
    }

    pub(super) fn read() -> Result<Self> {
        let file = file();
        let text = fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        Self::parse(&text)
    }

    pub(super) fn write(&self) -> Result<()> {
        fs::write(file(), self.to_string())?;
        println!("written to {}", file().display());
        Ok(())
    }

    /// Fails if one of these costs more than the baseline says.
    pub(super) fn compare(&self, baseline: &Self) -> Result<()> {
        if self.compiler != baseline.compiler {
            println!(
                "note: the baseline is of {}, this is {}",
                baseline.compiler, self.compiler
            );
        }
        let worse = self.worse_than(baseline);
        if !worse.is_empty() {
            bail!(
                "{}\nIf that is worth it, say why in the commit and write a new baseline: \
                 cargo xtask instructions --update",
                worse.join("\n")
            );
        }
        Ok(())
    }

    fn worse_than(&self, baseline: &Self) -> Vec<String> {
        let mut worse = Vec::new();
        for (name, now) in &self.costs {
            let Some(then) = baseline.costs.get(name) else {
                worse.push(format!("{name} is not in the baseline"));
                continue;
            };
            if now.instructions as f64 > then.instructions as f64 * TOLERANCE {
                let (now, then) = (now.instructions, then.instructions);
                let percent = (now as f64 / then as f64 - 1.0) * 100.0;
                worse.push(format!(
                    "{name}: {now} instructions, was {then}, +{percent:.1} %"
                ));
            }
            if now.allocations > then.allocations + MORE_ALLOCATIONS {
                let (now, then) = (now.allocations, then.allocations);
                worse.push(format!("{name}: {now} allocations, was {then}"));
            }
        }
        worse
    }

    fn parse(text: &str) -> Result<Self> {
        let mut baseline = Self::new(String::new());
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(compiler) = line.strip_prefix("compiler ") {
                compiler.clone_into(&mut baseline.compiler);
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(name), Some(instructions), Some(allocations)) =
                (words.next(), words.next(), words.next())
            else {
                bail!("not a line of a baseline: {line:?}");
            };
            let cost = Cost {
                instructions: instructions.parse()?,
                allocations: allocations.parse()?,
            };
            baseline.insert(name, cost);
        }
        Ok(baseline)
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}compiler {}", self.compiler)?;
        for (name, cost) in &self.costs {
            writeln!(f, "{name:<24} {cost}")?;
        }
        Ok(())
    }
}

fn file() -> PathBuf {
    root()
        .join("benches")
        .join("micro")
        .join("instructions.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(instructions: u64, allocations: f64) -> Baseline {
        let mut baseline = Baseline::new("rustc 1".to_owned());
        let cost = Cost {
            instructions,
            allocations,
        };
        baseline.insert("a-path", cost);
        baseline
    }

    #[test]
    fn a_baseline_is_read_as_it_was_written() {
        let written = baseline(1_234, 5.25);
        assert_eq!(Baseline::parse(&written.to_string()).unwrap(), written);
    }

    #[test]
    fn more_than_five_per_cent_or_one_more_allocation_is_worse() {
        let then = baseline(1_000, 3.0);
        assert!(baseline(1_050, 3.1).worse_than(&then).is_empty());
        assert!(baseline(500, 0.0).worse_than(&then).is_empty());
        assert_eq!(baseline(1_051, 3.0).worse_than(&then).len(), 1);
        assert_eq!(baseline(1_000, 4.0).worse_than(&then).len(), 1);
    }

    #[test]
    fn a_path_that_is_not_in_the_baseline_is_said() {
        let then = Baseline::new("rustc 1".to_owned());
        assert_eq!(baseline(1, 0.0).worse_than(&then).len(), 1);
    }
}
