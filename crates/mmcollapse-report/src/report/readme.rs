//! The verdicts in the README: a line a claim that has any, between two marks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use miette::{IntoDiagnostic, Result, WrapErr, miette};
use mmcollapse_probes::Verdict;

use super::reproduction::Found;
use super::verdict::{Family, in_words};
use crate::table::escape;

const BEGIN: &str = "<!-- verdicts: written by `mmcollapse report` -->\n";
const END: &str = "<!-- end of the verdicts -->\n";

/// The README beside `results` with today's verdicts; none where there is no README, or one without marks.
///
/// # Errors
/// A file that cannot be read, one mark without the other.
pub(super) fn page(results: &Path, found: Vec<Found>) -> Result<Option<(PathBuf, String)>> {
    let Some(path) = results.parent().map(|beside| beside.join("README.md")) else {
        return Ok(None);
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).into_diagnostic().wrap_err(path.display().to_string()),
    };
    let Some((before, rest)) = text.split_once(BEGIN) else {
        return Ok(None);
    };
    let Some((_, after)) = rest.split_once(END) else {
        return Err(miette!(
            help = format!("put the line `{}` where they end", END.trim()),
            "{}: the verdicts have no end",
            path.display()
        ));
    };
    Ok(Some((path, format!("{before}{BEGIN}{}{END}{after}", block(found)))))
}

/// A line a claim with the data sets on which any test has a verdict, then the claims that have none.
fn block(found: Vec<Found>) -> String {
    let mut text = "| the paper says | found |\n| --- | --- |\n".to_owned();
    let mut others = Vec::new();
    for (claim, mut families) in found {
        families.retain(is_decided);
        if families.is_empty() {
            others.push(claim.id.as_str());
        } else {
            let _ = writeln!(
                text,
                "| {} ({}) | {} |",
                escape(&claim.states),
                claim.id,
                in_words(&families)
            );
        }
    }
    if !others.is_empty() {
        let _ = writeln!(
            text,
            "\nWithout a verdict are {}: their runs are of an earlier revision, too few pass the manipulation check, or there are none.",
            others.join(", ")
        );
    }
    text
}

fn is_decided(family: &Family) -> bool {
    let decided = |verdict: Verdict| !matches!(verdict, Verdict::NotTested(_));
    family.primary.iter().any(|test| decided(test.verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_the_marks_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("results");
        fs::create_dir(&results).unwrap();
        let page = || page(&results, Vec::new());
        assert_eq!(page().unwrap(), None);
        let write =
            |text: &str| mmcollapse_files::write_atomic(&folder.path().join("README.md"), text.as_bytes()).unwrap();
        write("no marks\n");
        assert_eq!(page().unwrap(), None);
        write(&format!("before\n{BEGIN}old\n{END}after\n"));
        let (_, text) = page().unwrap().unwrap();
        assert!(
            text.starts_with("before\n") && text.ends_with(&format!("{END}after\n")),
            "{text}"
        );
        assert!(text.contains("| the paper says |") && !text.contains("old"), "{text}");
        write(&format!("before\n{BEGIN}old\n"));
        assert!(page().unwrap_err().to_string().contains("README.md"));
    }
}
