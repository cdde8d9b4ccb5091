//! Anything at all, as a client's first words, by libFuzzer.

#![no_main]

#[path = "../request_head.rs"]
mod request_head;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    request_head::judge(data);
});
