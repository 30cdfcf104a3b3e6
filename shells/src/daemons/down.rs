//! `miniku down`: nothing of miniku is left on this machine.

use crate::cli::daemons::DownArgs;
use crate::daemons::{DaemonError, access};
use crate::engine::lock::{DirectoryLock, LOCK, UP, lock_in};
use crate::engine::{EngineError, redb};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// Stops what runs on the data directory, ends its pods, and removes all that was ever made for it.
pub fn down(args: &DownArgs) -> Result<(), DaemonError> {
    let store = args.db.clone().unwrap_or_else(|| args.data_dir.join("store"));
    if !args.data_dir.exists() && !store.exists() {
        println!("nothing to remove at {}", args.data_dir.display());
        return Ok(());
    }
    let until = Instant::now() + args.timeout;
    // `up` with containers holds both; an API server alone has a store only.
    let mut told = None;
    let of_pods = taken(&args.data_dir, UP, until, &mut told)?;
    let of_store = taken(&store, LOCK, until, &mut told)?;
    miniku_runtime::down(&args.data_dir).map_err(|failure| DaemonError(failure.to_string()))?;
    remove_store(&store)?;
    remove_file(&args.data_dir.join(UP))?;
    drop((of_pods, of_store));
    // Only if it is empty: others' files stay.
    let _ = fs::remove_dir(&args.data_dir);
    let left = if args.data_dir.exists() { "what miniku had made in " } else { "" };
    println!("removed {left}{}", args.data_dir.display());
    Ok(())
}

/// Takes a directory by its lock of this name, and stops whoever has it, if that was not `told` to stop before.
fn taken(directory: &Path, name: &str, until: Instant, told: &mut Option<u32>) -> Result<DirectoryLock, DaemonError> {
    loop {
        match lock_in(directory, name) {
            Ok(held) => return Ok(held),
            Err(EngineError::InUse { pid: Some(pid), .. }) if Instant::now() < until => {
                if *told != Some(pid) {
                    println!("stopping miniku (pid {pid})");
                    stop(pid)?;
                    *told = Some(pid);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(DaemonError(error.to_string())),
        }
    }
}

/// Removes a store, the lock last: whoever was interrupted may be asked again.
fn remove_store(store: &Path) -> Result<(), DaemonError> {
    for name in redb::FILES.iter().chain(&access::FILES).chain([&LOCK]) {
        remove_file(&store.join(name))?;
    }
    // Only if it is empty.
    let _ = fs::remove_dir(store);
    Ok(())
}

fn remove_file(path: &Path) -> Result<(), DaemonError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(DaemonError(format!("remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
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
