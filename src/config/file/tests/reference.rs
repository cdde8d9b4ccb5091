//! `gateway.toml` in the repository and the guide: nothing in them has drifted from the code.

use super::*;

/// `gateway.toml` with every commented key in force.
fn uncommented(reference: &str) -> String {
    let key = |line: &str| {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '['))
            .map(str::to_owned)
    };
    reference.lines().map(|line| key(line).unwrap_or_else(|| line.to_owned()) + "\n").collect()
}

const REFERENCE: &str = include_str!("../../../../gateway.toml");

/// `gateway.toml` with the provider that is commented twice in the place of the other.
fn reference_for_saml() -> String {
    let mut text = String::new();
    let mut left_out = false;
    for line in REFERENCE.lines() {
        left_out = (left_out || line == "[provider.salesforce]") && !line.starts_with("##[");
        if !left_out {
            text.push_str(line.strip_prefix("##").unwrap_or(line));
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_reference_file_is_a_good_configuration() {
    good_with(REFERENCE, &[("SALESFORCE_CLIENT_SECRET", "abc")]);
}

#[test]
fn the_reference_file_has_every_key_and_every_default_of_the_code() {
    for reference in [REFERENCE.to_owned(), reference_for_saml()] {
        let text = uncommented(&reference);
        let (sources, root) = Sources::new(&text, "gateway.toml", &[]).map_err(Problems).unwrap();
        let reader = Reader::new(sources, root);
        sections(&reader);
        let problems = reader.problems();
        assert!(problems.0.iter().all(|problem| problem.wrong != "is not a known key"), "{problems}");
        let table: toml_edit::DocumentMut = text.parse().unwrap();
        for known in reader.known() {
            let mut item = table.as_item();
            for step in known.key.replace("NAME", "salesforce").replace("X-salesforce", "X-Name").split('.') {
                let list = item.as_array_of_tables().and_then(|tables| tables.get(0)).and_then(|first| first.get(step));
                item = list.or_else(|| item.get(step)).unwrap_or_else(|| panic!("gateway.toml lacks {}", known.key));
            }
            // The protocol is what makes the two differ.
            let protocol = known.key == "provider.NAME.protocol";
            if let Some(default) = known.default.filter(|_| !protocol) {
                assert_eq!(item.to_string().trim(), default, "gateway.toml shows another default of {}", known.key);
            }
        }
    }
}

#[test]
fn the_reference_file_explains_every_key() {
    let lines: Vec<&str> = REFERENCE.lines().collect();
    for pair in lines.windows(2) {
        let is_key = |line: &str| {
            let line = line.trim_start_matches('#');
            line.starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains(" = ")
        };
        if is_key(pair[1]) {
            assert!(pair[0].starts_with("# "), "no word about {:?}", pair[1]);
        }
    }
}

#[test]
fn the_guide_names_no_unknown_key() {
    let guide = include_str!("../../../../docs/configuration.md");
    let blocks = blocks(guide);
    assert!(blocks.len() > 5);
    for block in blocks {
        let block = if block.starts_with("client_secret") { block.lines().next().unwrap_or_default() } else { block };
        let text =
            if block.starts_with("client_secret") { format!("[provider.sf]\n{block}") } else { block.to_owned() };
        let problems = problems_with(&text, &[]);
        let unsound = |problem: &&Problem| problem.wrong.contains("known key") || problem.wrong.contains("TOML");
        assert_eq!(problems.0.iter().find(unsound), None, "{block}");
    }
}

/// The blocks of TOML on a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_smallest_files_that_people_copy_are_good() {
    let folder = files_for("wiki.example.com");
    let own = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(own("secret"), "abc").unwrap();
    for page in [include_str!("../../../../README.md"), include_str!("../../../../docs/configuration.md")] {
        let text = blocks(page)[0]
            .replace("3MVG9...", "3MVG9abc")
            .replace("/run/secrets/salesforce", &own("secret"))
            .replace("/etc/portcullis/wiki.crt", &own("crt"))
            .replace("/etc/portcullis/wiki.key", &own("key"));
        good(&text);
    }
}
