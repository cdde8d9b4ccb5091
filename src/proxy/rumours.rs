//! What a client may claim in the words of a proxy: who it is, where it came from, what it asked for.
//!
//! Apps believe such fields because proxies write them. Here they are taken out, or written anew by what is known
//! (`proxy::headers`). Called by `proxy::survey`, to see whether there are any, and by `proxy::headers`.

/// What names of whatever length begin with.
const FAMILIES: [&str; 2] = ["x-forwarded-", "x-original-"];

/// Whole names.
const NAMES: [&str; 15] = [
    "forwarded",
    "proxy",
    "x-real-ip",
    "x-rewrite-url",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-http-host-override",
    "x-host",
    "true-client-ip",
    "script-name",
    "x-script-name",
    "path-info",
    "daphne-root-path",
    "x-accel-mapping",
    "x-sendfile-type",
];

/// Whether the name of such a field may be so long and begin with this letter, a small one.
pub(super) fn may_look_like(length: usize, first: u8) -> bool {
    matches!((first, length), (b'd', 16) | (b'f', 9) | (b'p', 5 | 9) | (b's', 11) | (b't', 14) | (b'x', _))
}

/// Whether a name is one of the fields by which proxies speak of the client and of what it asked for, in any spelling.
/// That is `X-Forwarded-` with whatever follows: the names that proxies and apps have invented there (`-Groups`,
/// `-Access-Token`, `-Client-Cert`) are no closed list. `Proxy` is what CGI hands on as `HTTP_PROXY`
/// (CVE-2016-5385). With `Script-Name`, `X-Script-Name`, `Path-Info` and `Daphne-Root-Path` an app is told which part
/// of the path not to look at, and the rest would be another page than the one that was judged; with
/// `X-Accel-Mapping` and `X-Sendfile-Type`, where its files are.
pub(super) fn speaks_of_the_client(name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    let begins = |ours: &str| {
        ours.len() <= name.len()
            && ours.bytes().zip(name).all(|(left, right)| {
                let folded = if right.is_ascii_alphanumeric() { right.to_ascii_lowercase() } else { b'-' };
                left == folded
            })
    };
    name.first().is_some_and(|first| may_look_like(name.len(), first.to_ascii_lowercase()))
        && (FAMILIES.iter().any(|family| begins(family))
            || NAMES.iter().any(|ours| ours.len() == name.len() && begins(ours)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_one_that_is_looked_for() {
        let families = FAMILIES.iter().flat_map(|family| (0..40).map(move |more| format!("{family}{:x<more$}", "")));
        for name in NAMES.iter().map(ToString::to_string).chain(families) {
            for spelling in [name.clone(), name.to_ascii_uppercase(), name.replace('-', "_"), name.replace('-', ".")] {
                assert!(speaks_of_the_client(&spelling), "{spelling}");
            }
        }
    }
}
