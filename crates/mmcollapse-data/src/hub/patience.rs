//! How long to wait for a server, and how often to try again.

use std::fmt::Display;
use std::thread;
use std::time::Duration;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Tries a file, the first included.
    pub attempts: u32,
    /// Wait before the second try; doubled before each further one.
    pub first_wait: Duration,
    /// Longest wait between two tries; a `Retry-After` beyond it is an error at once.
    pub longest_wait: Duration,
    /// Longest wait for an answer to begin.
    pub answer: Duration,
    /// Longest time without a byte while a file comes in.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_mins(2),
            answer: Duration::from_secs(30),
            silence: Duration::from_mins(1),
        }
    }
}

/// Whether another try may succeed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    No,
    Yes,
    /// Not before so long, as the server says.
    After(Duration),
}

impl Again {
    /// `Yes` where `passes`.
    pub fn when(passes: bool) -> Self {
        if passes { Self::Yes } else { Self::No }
    }
}

impl Patience {
    /// What `attempt` ends with, tried again while that may help; says so on standard error where `progress`.
    pub(crate) fn retry<T, E: Display>(
        &self,
        progress: bool,
        mut attempt: impl FnMut() -> Result<T, (E, Again)>,
    ) -> Result<T, E> {
        let mut wait = self.first_wait;
        let mut tried = 0;
        loop {
            let (error, again) = match attempt() {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            tried += 1;
            let pause = match again {
                Again::No => return Err(error),
                Again::Yes => wait,
                Again::After(asked) => asked,
            };
            if tried >= self.attempts || pause > self.longest_wait {
                return Err(error);
            }
            if progress {
                mmcollapse_files::tell!("{error}; trying again in {:.0} s", pause.as_secs_f64().ceil());
            }
            thread::sleep(pause);
            wait = (wait * 2).min(self.longest_wait);
        }
    }
}
