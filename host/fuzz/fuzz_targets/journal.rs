#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millpond_fuzz_entries::journal(data));
