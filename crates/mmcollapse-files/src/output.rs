//! What is said on standard output and standard error: nothing that happens to them ends a run.
//!
//! `println!` panics where the reader of a pipe has gone or the disk of a file is full. A training of hours must survive
//! both, so all of the workspace writes lines with [`say!`](crate::say) and [`tell!`](crate::tell); clippy's `print_stdout`
//! and `print_stderr` keep the macros of the standard library out. A program whose whole work is what it prints asks
//! [`lost`] at its end.

use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Why standard output could not be written, the first time that it could not.
static LOST: Mutex<Option<(io::ErrorKind, String)>> = Mutex::new(None);

/// Writes a line to standard output: what was asked for.
#[macro_export]
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::out(format_args!("{}\n", format_args!($($argument)*)))
    };
}

/// Writes a line to standard error: what a person is told beside it.
#[macro_export]
macro_rules! tell {
    ($($argument:tt)*) => {
        $crate::output::error(format_args!("{}\n", format_args!($($argument)*)))
    };
}

/// Writes text to standard output as it is; see [`lost`] for where it cannot be.
pub fn out(text: fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    if let Err(error) = whole(&mut output, text) {
        let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get_or_insert((error.kind(), error.to_string()));
    }
}

/// Writes text to standard error as it is, if there is anybody to read it.
pub fn error(text: fmt::Arguments<'_>) {
    let _ = whole(&mut io::stderr().lock(), text);
}

/// In one piece, so that the lines of several processes on one terminal do not mix.
fn whole(stream: &mut impl io::Write, text: fmt::Arguments<'_>) -> io::Result<()> {
    stream.write_all(fmt::format(text).as_bytes())?;
    stream.flush()
}

/// What was lost of standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The reader has gone: it has read what it wanted.
    Reader,
    /// It could not be written, for this reason.
    Written(String),
}

/// What was lost of standard output, if anything was.
pub fn lost() -> Option<Lost> {
    let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    lost.as_ref().map(|(kind, reason)| match kind {
        io::ErrorKind::BrokenPipe => Lost::Reader,
        _ => Lost::Written(reason.clone()),
    })
}

/// Whether the terminal takes no control sequences, by `TERM=dumb` or `NO_COLOR`: then progress is plain lines.
pub fn is_plain() -> bool {
    let is = |name: &str, test: fn(&std::ffi::OsStr) -> bool| std::env::var_os(name).is_some_and(|value| test(&value));
    is("TERM", |term| term == "dumb") || is("NO_COLOR", |value| !value.is_empty())
}
