//! `miniku down`: nothing of miniku is left on this machine.

use crate::cli::daemons::DownArgs;
use crate::daemons::{DaemonError, access};
use crate::engine::lock::{LOCK, lock_directory};
use crate::engine::{EngineError, redb};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// Stops what runs on the data directory, ends its pods, and removes all that was ever made for it.
pub fn down(args: &DownArgs) -> Result<(), DaemonError> {
    let store = args.data_dir.join("store");
    if !args.data_dir.exists() {
        println!("nothing to remove at {}", args.data_dir.display());
        return Ok(());
    }
    let until = Instant::now() + args.timeout;
    let mut told = false;
    let held = loop {
        match lock_directory(&store) {
            Ok(held) => break held,
            Err(EngineError::InUse { pid: Some(pid), .. }) if Instant::now() < until => {
                if !told {
                    println!("stopping miniku (pid {pid})");
                    stop(pid)?;
                    told = true;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(DaemonError(error.to_string())),
        }
    };
    miniku_runtime::down(&args.data_dir).map_err(|failure| DaemonError(failure.to_string()))?;
    remove(&store)?;
    drop(held);
    // Only if it is empty: others' files stay.
    let _ = fs::remove_dir(&args.data_dir);
    let left = if args.data_dir.exists() { "what miniku had made in " } else { "" };
    println!("removed {left}{}", args.data_dir.display());
    Ok(())
}

/// Removes a store, the lock last: whoever was interrupted may be asked again.
fn remove(store: &Path) -> Result<(), DaemonError> {
    for name in redb::FILES.iter().chain(&access::FILES).chain([&LOCK]) {
        let path = store.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(DaemonError(format!("remove {}: {error}", path.display())));
            }
            _ => {}
        }
    }
    // Only if it is empty.
    let _ = fs::remove_dir(store);
    Ok(())
}

/// Asks a process to stop that was just seen holding the lock.
fn stop(pid: u32) -> Result<(), DaemonError> {
    let pid = i32::try_from(pid).map_err(|_| DaemonError(format!("{pid} is no process id")))?;
    let signal = nix::sys::signal::Signal::SIGTERM;
    match nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal) {
        // Ended meanwhile.
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(errno) => Err(DaemonError(format!("stop process {pid}: {errno}"))),
    }
}
