#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| miniku_fuzz::quantity(data));
