//! Recordings on disk: `--record DIR` writes one a life of a program, `miniku replay DIR` reads them.
//!
//! What is in them is core's ([`miniku_core::record`]). [`frame`] says which bytes they are, [`write`] who writes
//! them and how much, [`read`] how they are found and read back.

pub mod frame;
pub mod read;
pub mod write;

pub use read::{Recording, Unreadable, recordings};
pub use write::{Notes, Recorder, step};

/// How a recording's file is called: `<program>-<when it began>.rec`.
const EXTENSION: &str = "rec";

/// Which build this is: the CRC-32 of the binary, or nothing where it cannot be read.
pub fn build() -> String {
    let checksum = || {
        let mut from = flate2::CrcReader::new(std::fs::File::open("/proc/self/exe")?);
        std::io::copy(&mut from, &mut std::io::sink())?;
        Ok::<_, std::io::Error>(format!("{:08x}", from.crc().sum()))
    };
    checksum().unwrap_or_default()
}
