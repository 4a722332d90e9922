//! Every combination of features of every published crate compiles.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    dependencies::metadata,
    step::{cargo, run},
};

/// Checks each crate by itself: in a workspace build, features of one crate reach the others.
pub(crate) fn check() -> Result<()> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("packages")?;
    for package in packages.iter().filter(|package| is_published(package)) {
        let name = package["name"].as_str().context("name")?;
        let features = package["features"].as_object().context("features")?;
        let features: Vec<&str> = features
            .keys()
            .map(String::as_str)
            .filter(|feature| *feature != "default")
            .collect();
        for combination in combinations(&features) {
            let mut check = cargo();
            check.args([
                "check",
                "--quiet",
                "--locked",
                "--no-default-features",
                "-p",
                name,
            ]);
            run(check.arg("--features").arg(combination.join(",")))?;
        }
    }
    Ok(())
}

fn is_published(package: &Value) -> bool {
    package["source"].is_null() && package["publish"].is_null()
}

/// Returns all subsets.
fn combinations<'a>(features: &[&'a str]) -> Vec<Vec<&'a str>> {
    features.iter().fold(vec![Vec::new()], |subsets, feature| {
        let with = subsets.iter().map(|subset| {
            let mut subset = subset.clone();
            subset.push(*feature);
            subset
        });
        subsets.iter().cloned().chain(with).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_features_have_four_combinations() {
        let combinations = combinations(&["a", "b"]);
        assert_eq!(combinations, [vec![], vec!["a"], vec!["b"], vec!["a", "b"]]);
    }
}
