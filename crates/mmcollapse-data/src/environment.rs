//! Environment variables that name folders, files and words, read so that none is lost.
//!
//! A path need not be UTF-8 and is used as it is. `~/` is the home folder, as a shell would have it where the value was not
//! quoted. A variable that is set to nothing is not set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Variables by name.
pub(crate) struct Environment<G>(G);

/// The variables of this process.
pub(crate) fn process() -> Environment<impl Fn(&str) -> Option<OsString>> {
    Environment(|name: &str| {
        let home = || (name == "HOME").then(std::env::home_dir).flatten();
        std::env::var_os(name).or_else(|| home().map(PathBuf::into_os_string))
    })
}

impl<G: Fn(&str) -> Option<OsString>> Environment<G> {
    /// The variables that `get` knows.
    pub(crate) fn of(get: G) -> Self {
        Self(get)
    }

    /// The value of `name`, if it is set to anything.
    pub(crate) fn set(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The value of `name` as text without white space around it; bytes that are no UTF-8 become U+FFFD, which no address and
    /// no header may hold, so that they are refused where they are used.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = self.set(name)?.to_string_lossy().trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The path that `name` holds.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.set(name).map(|value| self.with_home(PathBuf::from(value)))
    }

    /// The user's home folder.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        let home = self.set("HOME").or_else(|| self.set("USERPROFILE"));
        home.map(PathBuf::from)
    }

    fn with_home(&self, path: PathBuf) -> PathBuf {
        match (path.strip_prefix("~"), self.home()) {
            (Ok(rest), Some(home)) if rest == Path::new("") => home,
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path,
        }
    }

    /// [`Self::path`] with `$NAME` and `${NAME}` replaced by what is set, as Python's `os.path.expandvars` does.
    pub(crate) fn path_of_variables(&self, name: &str) -> Option<PathBuf> {
        let value = self.set(name)?;
        let value = value.to_str().map(|text| self.replaced(text)).unwrap_or(value);
        Some(self.with_home(PathBuf::from(value)))
    }

    fn replaced(&self, text: &str) -> OsString {
        let mut replaced = OsString::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            replaced.push(&rest[..at]);
            let (name, length) = variable(&rest[at + 1..]);
            let whole = &rest[at..=at + length];
            match (self.0)(name).filter(|_| !name.is_empty()) {
                Some(value) => replaced.push(value),
                None => replaced.push(whole),
            }
            rest = &rest[at + 1 + length..];
        }
        replaced.push(rest);
        replaced
    }
}

/// The name that `text`, what stands behind a `$`, begins with, and the bytes it takes.
fn variable(text: &str) -> (&str, usize) {
    if let Some((name, _)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (name, name.len() + 2);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = text.find(|c| !is_name(c)).unwrap_or(text.len());
    (&text[..length], length)
}

/// The folder or file that the variable `name` of this process holds, if it does.
pub(crate) fn path(name: &str) -> Option<PathBuf> {
    process().path(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &'static [(&str, &str)]) -> Environment<impl Fn(&str) -> Option<OsString>> {
        Environment::of(|name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn home_and_variables_are_expanded_as_python_does() {
        let set = of(&[
            ("HOME", "/home/a"),
            ("A", "~/data"),
            ("B", "~"),
            ("C", "/d/~/x"),
            ("D", "$HOME/x/${A_}$E$/${F"),
            ("A_", "y"),
            ("EMPTY", ""),
            ("WORD", " on\n"),
        ]);
        assert_eq!(set.path("A").unwrap(), Path::new("/home/a/data"));
        assert_eq!(set.path("B").unwrap(), Path::new("/home/a"));
        assert_eq!(set.path("C").unwrap(), Path::new("/d/~/x"));
        // python3 -c 'import os; print(os.path.expandvars("$HOME/x/${A_}$E$/${F"))' with HOME and A_ set as above
        assert_eq!(set.path_of_variables("D").unwrap(), Path::new("/home/a/x/y$E$/${F"));
        assert_eq!(set.path("D").unwrap(), Path::new("$HOME/x/${A_}$E$/${F"));
        assert_eq!(set.path("EMPTY"), None);
        assert_eq!(set.text("WORD").unwrap(), "on");
    }

    #[test]
    #[cfg(unix)]
    fn a_path_that_is_not_utf8_is_used_as_it_is() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = b"~/caf\xe9".to_vec();
        let value = OsString::from_vec(bytes);
        let set = Environment::of(|name: &str| match name {
            "HOME" => Some(OsString::from("/home/a")),
            _ => Some(value.clone()),
        });
        let expected = PathBuf::from(OsString::from_vec(b"/home/a/caf\xe9".to_vec()));
        assert_eq!(set.path("X").unwrap(), expected);
        assert_eq!(set.path_of_variables("X").unwrap(), expected);
    }
}
