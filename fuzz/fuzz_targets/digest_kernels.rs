#![no_main]

#[expect(dead_code, reason = "the other checks are of other targets")]
#[path = "../checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::digest_kernels(input));
