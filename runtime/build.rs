//! Puts the built-in image, made by `rootfs/build.sh`, where the crate can include it, with its digest.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::Path;

fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts");
    let tar = Path::new(&manifest).join("../rootfs/out/busybox.tar");
    println!("cargo::rerun-if-changed={}", tar.display());
    let bytes = match std::fs::read(&tar) {
        Ok(bytes) => bytes,
        Err(error) => {
            println!(
                "cargo::error=the built-in image is missing: run rootfs/build.sh first ({}: {error})",
                tar.display()
            );
            return;
        }
    };
    let mut digest = String::new();
    for byte in Sha256::digest(&bytes) {
        write!(digest, "{byte:02x}").expect("a String takes all");
    }
    println!("cargo::rustc-env=MINIKU_BUSYBOX_TAR={}", tar.display());
    println!("cargo::rustc-env=MINIKU_BUSYBOX_DIGEST={digest}");
}
