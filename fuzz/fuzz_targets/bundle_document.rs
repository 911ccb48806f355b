#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| spire_fuzz::bundle_document(data));
