//! The page of the documentation that shows the results.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{markdown, plots};
use crate::{series::Results, suite, targets};

const PAGE: &str = "docs/performance.md";
const PLOTS: &str = "docs/performance";

/// Fills in what the run has measured, and leaves the rest as it is.
pub(crate) fn write(results: &Results) -> Result<()> {
    let mut page = fs::read_to_string(PAGE).with_context(|| PAGE.to_owned())?;
    fill(&mut page, "machine", &markdown::machine(results));
    fill(
        &mut page,
        "targets",
        &markdown::targets(&targets::all(results)),
    );
    for suite in suite::all(&[]) {
        if let Some(table) = markdown::suite_table(results, suite.name) {
            fill(&mut page, suite.name, &table);
        }
    }
    if let Some(table) = markdown::growth_table(results) {
        fill(&mut page, "growth", &table);
    }
    fs::write(PAGE, page)?;
    fs::create_dir_all(PLOTS)?;
    for (name, svg) in plots::all(results) {
        fs::write(Path::new(PLOTS).join(name), svg)?;
    }
    println!("{PAGE} and its plots are up to date");
    Ok(())
}

/// Replaces what is between the two marks of this name, if the page has them.
fn fill(page: &mut String, name: &str, text: &str) {
    let (begin, end) = (
        format!("<!-- begin {name} -->"),
        format!("<!-- end {name} -->"),
    );
    let Some((before, rest)) = page.split_once(&begin) else {
        return;
    };
    let Some((_, after)) = rest.split_once(&end) else {
        return;
    };
    *page = format!("{before}{begin}\n{}\n{end}{after}", text.trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let mut page = "a <!-- begin x -->old<!-- end x --> b <!-- begin y -->1".to_owned();
        fill(&mut page, "x", "new\n");
        fill(&mut page, "y", "not closed");
        assert_eq!(
            page,
            "a <!-- begin x -->\nnew\n<!-- end x --> b <!-- begin y -->1"
        );
    }
}
