//! Keeps rayon's threads awake between the operations of a training step.
//!
//! An operation of a small network takes some hundred microseconds, and waking a thread that went to sleep since the
//! last one takes a tenth of that or more. So after an operation the other threads look for work a little longer than
//! rayon lets them, as the threads of OpenMP do.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long threads look for work after the last they found: longer than what a training step does between two
/// operations that use threads.
const PATIENCE: Duration = Duration::from_micros(300);

/// Threads that [`keep`] keeps awake.
static AWAKE: AtomicUsize = AtomicUsize::new(0);

/// Asks the other threads of this thread's pool to stay awake for a while, from inside the pool.
pub(super) fn keep() {
    let Some(caller) = rayon::current_thread_index() else {
        return; // the call that comes from outside waits itself, so all threads of the pool are needed
    };
    let others = rayon::current_num_threads() - 1;
    if AWAKE
        .compare_exchange(0, others, Ordering::Relaxed, Ordering::Relaxed)
        .is_err()
    {
        return; // some still are; one request at a time, so that they never pile up
    }
    rayon::spawn_broadcast(move |context| {
        if context.index() == caller {
            return;
        }
        let mut last = Instant::now();
        while last.elapsed() < PATIENCE {
            if rayon::yield_now() == Some(rayon::Yield::Executed) {
                last = Instant::now();
            }
            for _ in 0..16 {
                spin_loop();
            }
        }
        AWAKE.fetch_sub(1, Ordering::Relaxed);
    });
}
