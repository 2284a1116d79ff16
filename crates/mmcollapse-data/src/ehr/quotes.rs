//! Watches over the quotes of a table while it is read.
//!
//! A quote that is never closed makes thousands of rows into one cell, and CSV readers take it without a word. Here a line
//! break inside quotes is refused where no column holds free text, and so are text behind a closing quote and an end of the
//! file inside quotes, which is where such a quote shows in tables with free text.

use std::fmt;
use std::io::{self, Read};

/// Bytes of a heading beyond which no column is taken for free text any more.
const LONGEST_HEADING: usize = 1 << 16;

/// What is wrong with a quote, and where it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuoteFault {
    /// Line of the opening quote, from 1.
    pub(super) line: u64,
    /// What was met.
    pub(super) got: &'static str,
}

impl fmt::Display for QuoteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.got)
    }
}

impl std::error::Error for QuoteFault {}

impl QuoteFault {
    /// The fault that `error` carries, if it is one.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

/// Where in a row a byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// The first byte of a cell.
    Start,
    /// A cell without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes the cell, unless another follows.
    Closing,
}

/// Passes the bytes of a table on until a quote is at fault.
pub(super) struct QuoteGuard<R> {
    inner: R,
    /// Columns that may hold line breaks.
    free_text: &'static [&'static str],
    /// The heading while it is being read.
    heading: Option<Vec<u8>>,
    /// By column, from the heading.
    breaks: Vec<bool>,
    at: At,
    column: usize,
    line: u64,
    opened: u64,
}

impl<R: Read> QuoteGuard<R> {
    /// Guards `inner`, whose columns `free_text` may hold line breaks.
    pub(super) fn new(inner: R, free_text: &'static [&'static str]) -> Self {
        Self {
            inner,
            free_text,
            heading: Some(Vec::new()),
            breaks: Vec::new(),
            at: At::Start,
            column: 0,
            line: 1,
            opened: 0,
        }
    }

    fn fault(&self, got: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, QuoteFault { line: self.opened, got })
    }

    fn watch(&mut self, byte: u8) -> io::Result<()> {
        if let Some(heading) = &mut self.heading
            && heading.len() < LONGEST_HEADING
        {
            heading.push(byte);
        }
        match (self.at, byte) {
            (At::Quoted, b'"') => self.at = At::Closing,
            (At::Quoted, b'\n') => {
                self.line += 1;
                if self.heading.is_some() || !self.breaks.get(self.column).is_some_and(|free| *free) {
                    return Err(self.fault("a quoted cell that goes on in the next line"));
                }
            }
            (At::Quoted, _) => {}
            (At::Start, b'"') => (self.at, self.opened) = (At::Quoted, self.line),
            (At::Closing, b'"') => self.at = At::Quoted,
            (_, b',') => {
                self.at = At::Start;
                self.column += 1;
            }
            (_, b'\n' | b'\r') => {
                self.line += u64::from(byte == b'\n');
                (self.at, self.column) = (At::Start, 0);
                if let Some(heading) = self.heading.take() {
                    self.breaks = free(&heading, self.free_text);
                }
            }
            (At::Closing, _) => return Err(self.fault("text behind the quote that closes a cell")),
            (At::Start | At::Plain, _) => self.at = At::Plain,
        }
        Ok(())
    }
}

/// Which columns of `heading` are among `free_text`.
fn free(heading: &[u8], free_text: &[&str]) -> Vec<bool> {
    let heading = String::from_utf8_lossy(heading);
    let names = heading.trim_start_matches('\u{feff}').split(',');
    let is_free = |name: &str| free_text.iter().any(|free| free.eq_ignore_ascii_case(name));
    names.map(|name| is_free(name.trim().trim_matches('"'))).collect()
}

impl<R: Read> Read for QuoteGuard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        if n == 0 && !buffer.is_empty() && self.at == At::Quoted {
            return Err(self.fault("the end of the table inside a quoted cell"));
        }
        for &byte in buffer.iter().take(n) {
            self.watch(byte)?;
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<QuoteFault> {
        let mut read = Vec::new();
        let guarded = QuoteGuard::new(text.as_bytes(), &["text"]).read_to_end(&mut read);
        guarded.err().map(|error| QuoteFault::of(&error).unwrap())
    }

    #[test]
    fn a_quote_at_fault_is_found_where_it_was_opened() {
        for whole in [
            "",
            "id,text\n1,a\n",
            "id,text\r\n1,\"a, \"\"b\"\"\nc\"\r\n2,\"\"\n",
            "\u{feff}\"id\",\"TEXT\"\n1,\"a\nb\"",
            "id,text\n1,5\" tube\n2,x\"y\"z",
        ] {
            assert_eq!(fault(whole), None, "{whole}");
        }
        let of = |text: &str| fault(text).map(|fault| fault.line);
        assert_eq!(of("id,text\n1,a\n\"2,a\n3,a\n"), Some(3));
        assert_eq!(of("id,text\n1,\"a\n2,b\n"), Some(2));
        assert_eq!(of("id,text\n1,\"a\n2,\"b\"\n"), Some(2));
        assert_eq!(of("\"id,text\n1,a\n"), Some(1));
        assert_eq!(of("id,text\n1,\"a\" b\n"), Some(2));
    }
}
