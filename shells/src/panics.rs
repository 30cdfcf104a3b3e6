//! What a panic means: for a daemon the end, for the simulator a finding.

use std::panic;
use std::process;

/// From now on a panic in any thread ends the process, after it was told: half a daemon is worse than none.
pub fn abort() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tell(panic);
        process::abort();
    }));
}

/// From now on a panic ends what is being tried, in silence: whoever tries it will tell.
pub fn unwind() {
    panic::set_hook(Box::new(|_| {}));
}
