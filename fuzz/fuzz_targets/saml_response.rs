//! Anything at all, posted to the sign-in address, by libFuzzer. Begins from the vectors in `tests/saml/vectors`.

#![no_main]

#[path = "../saml_response.rs"]
mod saml_response;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    saml_response::judge(data);
});
