//! What daemons print: a line a decision, with the date as MiniKu and Go's log write it.

use crate::clock;
use miniku_core::api::meta::rfc3339_nanos;
use std::io::Write;

/// Starts to print on stderr: decisions and worse, or what `RUST_LOG` says.
pub fn start() {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Info).parse_default_env();
    builder.format(|out, record| {
        // `2026-02-04T15:27:54.…` as `2026/02/04 15:27:54`.
        let now = rfc3339_nanos(clock::wall());
        let date = now.get(..19).unwrap_or(&now).replace('-', "/").replace('T', " ");
        match record.level() {
            log::Level::Info => writeln!(out, "{date} {}", record.args()),
            level => writeln!(out, "{date} {level}: {}", record.args()),
        }
    });
    // Tests in one process start it more than once.
    let _ = builder.try_init();
}
