//! Anything at all, as an app's answer, by libFuzzer.

#![no_main]

#[path = "../app_answer.rs"]
mod app_answer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    app_answer::judge(data);
});
