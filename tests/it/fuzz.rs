//! What the fuzzer does, over its corpus: it needs a nightly compiler, this does not, and it stays true by this.

use std::fs;

#[path = "../../fuzz/saml_response.rs"]
mod saml_response;

use saml_response::judge;

#[test]
fn the_fuzz_target_lets_in_whom_the_vectors_say_and_their_ruins_crash_nothing() {
    let mut admitted = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir("tests/saml/vectors").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|kind| kind != "xml") {
            continue;
        }
        let mut data = fs::read(&path).unwrap();
        seen += 1;
        if judge(&data) > 0 {
            admitted.push(name.clone());
        }
        for cut in (0..data.len()).step_by(data.len() / 24) {
            assert_eq!(judge(&data[..cut]), 0, "{name}, its first {cut} bytes");
            let kept = data[cut];
            data[cut] = kept.wrapping_add(128);
            assert_eq!(judge(&data), 0, "{name}, with another byte at {cut}: it is no UTF-8");
            data[cut] = kept;
        }
    }
    assert!(seen > 20 && admitted.len() > 10, "{seen} vectors, and of them {admitted:?}");
    assert!(admitted.iter().all(|name| name.starts_with("good")), "{admitted:?}");
}
