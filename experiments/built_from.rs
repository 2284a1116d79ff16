//! The commit of the sources, for the build script.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is compiled into the programs, relative to the workspace; only changes of these make a build differ from its commit.
const SOURCES: [&str; 6] = ["crates", "experiments", "data", "Cargo.toml", "Cargo.lock", ".cargo"];

/// `commit HASH clean`, `commit HASH dirty`, or why the commit is not known, in one line.
pub fn text(root: &Path) -> String {
    commit(root).unwrap_or_else(|reason| reason)
}

fn commit(root: &Path) -> Result<String, String> {
    // An archive unpacked inside some other checkout is not of that one's commit.
    git(root, &["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let hash = git(root, &["rev-parse", "--verify", "HEAD"])?;
    let changes = git(root, &[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    let state = if changes.trim().is_empty() { "clean" } else { "dirty" };
    Ok(format!("commit {} {state}", hash.trim()))
}

/// What may change the text: the sources, and the files of git that a commit or a checkout writes.
pub fn watched(root: &Path) -> Vec<PathBuf> {
    let mut names = vec!["HEAD".to_owned(), "logs/HEAD".to_owned(), "packed-refs".to_owned()];
    names.extend(
        git(root, &["symbolic-ref", "-q", "HEAD"])
            .ok()
            .map(|name| name.trim().to_owned()),
    );
    let of_git = names
        .iter()
        .filter_map(|name| git(root, &["rev-parse", "--git-path", name]).ok());
    let paths = of_git
        .map(|path| path.trim().to_owned())
        .chain(SOURCES.map(str::to_owned));
    // Of a file that is not there cargo would believe that it has changed, at every build.
    paths.map(|path| root.join(path)).filter(|path| path.exists()).collect()
}

/// The output of git, or why there is none, in one line.
fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    // A hook of another checkout would have its own taken for this one.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command
        .env("LC_ALL", "C")
        .args(["--no-optional-locks", "-C"])
        .arg(root)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("built where git does not start: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(refusal(&String::from_utf8_lossy(&output.stderr)))
}

/// What git's complaint means.
fn refusal(complaint: &str) -> String {
    if complaint.contains("not a git repository") || complaint.contains("did not match any file") {
        return "built from sources outside of a git checkout".to_owned();
    }
    let line = complaint.lines().next().unwrap_or("no reason given").trim();
    format!("git refused: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs git in a folder; false where there is no git.
    fn run(folder: &Path, arguments: &[&str]) -> bool {
        let own = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.org",
            "-c",
            "commit.gpgsign=false",
        ];
        git(folder, &[&own, arguments].concat()).is_ok()
    }

    fn write(path: &Path, text: &str) {
        mmcollapse_files::write_atomic(path, text.as_bytes()).unwrap();
    }

    #[test]
    fn the_commit_and_changes_of_sources_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(&root.join("Cargo.toml"), "a");
        write(&root.join("README.md"), "a");
        assert_eq!(text(root), "built from sources outside of a git checkout");
        if !run(root, &["init", "-q"]) {
            return; // A machine without git, of which the line above was the test.
        }
        // Unpacked into another checkout, whose commit it is not.
        assert_eq!(text(root), "built from sources outside of a git checkout");
        assert!(run(root, &["add", "."]) && run(root, &["commit", "-q", "--no-verify", "-m", "first"]));
        let clean = text(root);
        let hash = git(root, &["rev-parse", "HEAD"]).unwrap();
        assert_eq!(clean, format!("commit {} clean", hash.trim()));
        write(&root.join("README.md"), "b");
        assert_eq!(text(root), clean, "a document is no source");
        write(&root.join("crates/new.rs"), "");
        assert_eq!(text(root), clean.replace("clean", "dirty"));
        let watched = watched(root);
        assert!(watched.iter().all(|path| path.exists()));
        for name in ["HEAD", "logs/HEAD", "crates", "Cargo.toml"] {
            assert!(watched.iter().any(|path| path.ends_with(name)), "{name}: {watched:?}");
        }
    }

    #[test]
    fn a_refusal_of_git_is_told_as_one() {
        let complaint = "fatal: detected dubious ownership in repository at '/x'\nTo add an exception ...";
        assert_eq!(
            refusal(complaint),
            "git refused: fatal: detected dubious ownership in repository at '/x'"
        );
    }

    /// What is built in is what git says of this checkout.
    #[test]
    fn this_program_knows_its_commit() {
        let root = Path::new("..");
        let hash = |text: &str| text.split(' ').nth(1).map(str::to_owned);
        assert_eq!(hash(crate::BUILT_FROM), hash(&text(root)));
    }
}
