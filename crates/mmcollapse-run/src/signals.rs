//! The signals that ask a program to stop: Ctrl-C, a scheduler's SIGTERM, and the SIGHUP of a terminal that is closed.

use std::io;

/// Calls `handler` on a thread of its own whenever one of them comes. A SIGHUP that is ignored, as `nohup` has it, stays
/// ignored. After a second call, in tests only, the first handler stays.
///
/// # Errors
/// If the system takes no handler.
pub fn on_stop(handler: impl FnMut() + Send + 'static) -> io::Result<()> {
    let ignored = hangup_is_ignored();
    match ctrlc::set_handler(handler) {
        Ok(()) => {}
        Err(ctrlc::Error::MultipleHandlers) => return Ok(()),
        Err(error) => return Err(io::Error::other(error)),
    }
    if ignored { ignore_hangup() } else { Ok(()) }
}

/// Lets them pass: a worker stops when its runner says so, and a terminal sends them to both.
///
/// # Errors
/// If the system takes no handler.
pub fn ignore() -> io::Result<()> {
    ctrlc::set_handler(|| {}).map_err(io::Error::other)
}

/// Whether SIGHUP is ignored. A child inherits that, so one is asked to survive it: that holds on every Unix, and reads no
/// state that another thread may be changing.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    use std::process::{Command, Stdio};
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -HUP $$"]).stdin(Stdio::null());
    let status = shell.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Ignores SIGHUP again, which `ctrlc` takes with the other two.
#[cfg(unix)]
#[allow(unsafe_code)]
fn ignore_hangup() -> io::Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: to ignore a signal installs no code that could run at a wrong time.
    unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) }
        .map(drop)
        .map_err(io::Error::from)
}

#[cfg(not(unix))]
fn hangup_is_ignored() -> bool {
    false
}

#[cfg(not(unix))]
fn ignore_hangup() -> io::Result<()> {
    Ok(())
}
