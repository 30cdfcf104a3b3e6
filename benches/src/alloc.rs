//! The allocator counts: how often it was asked, and for how much.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    if ON.load(Relaxed) {
        BYTES.fetch_add(bytes as u64, Relaxed);
        COUNT.fetch_add(1, Relaxed);
    }
}

// SAFETY: everything is handed to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on; `at` came from the same allocator.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()));
        // SAFETY: the caller's promise is passed on; `at` came from the same allocator.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Runs something and tells the bytes and the allocations that all threads asked for meanwhile.
pub fn counted(run: impl FnOnce()) -> (u64, u64) {
    let before = (BYTES.load(Relaxed), COUNT.load(Relaxed));
    ON.store(true, Relaxed);
    run();
    ON.store(false, Relaxed);
    (BYTES.load(Relaxed) - before.0, COUNT.load(Relaxed) - before.1)
}
