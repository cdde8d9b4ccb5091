//! What a client is told of what is wrong with its request, or went wrong with its app.
//!
//! The parts know what happened, a refusal is what is said of it; here is the one beside the other. Called by `gateway`.

use crate::http::target::BadTarget;
use crate::proxy::upgrade::connect::BadConnect;
use crate::proxy::upstream::UpstreamFault;
use crate::refusal::Refusal;

/// What is wrong with a CONNECT.
pub(super) fn bad_connect(bad: BadConnect) -> Refusal {
    match bad {
        BadConnect::Protocol => Refusal::TunnelNotOffered,
        BadConnect::NoRandomness(_) => Refusal::NoRandomness,
    }
}

/// What is wrong with a target or its host.
pub(super) fn bad_target(bad: BadTarget) -> Refusal {
    match bad {
        BadTarget::Form => Refusal::BadTarget("the address is not one of a page"),
        BadTarget::DotSegment => Refusal::BadTarget("the path has a dot segment"),
        BadTarget::ForbiddenCharacter => Refusal::BadTarget("the path has a forbidden character"),
        BadTarget::BrokenEscape => Refusal::BadTarget("the path has a broken percent escape"),
        BadTarget::Ambiguous => Refusal::BadTarget("the path can be read in two ways"),
        BadTarget::Host => Refusal::BadRequest("the Host is missing, repeated or contradicted"),
    }
}

/// What a client is told of a fault, if there is one to be told.
#[deny(clippy::wildcard_enum_match_arm)]
pub(super) fn upstream_refusal(fault: UpstreamFault) -> Option<Refusal> {
    let cause = fault.to_string();
    Some(match fault {
        UpstreamFault::Left { .. } => return None,
        UpstreamFault::Unreachable { .. } | UpstreamFault::NoAddress => Refusal::UpstreamUnreachable { cause },
        UpstreamFault::Certificate { .. } => Refusal::UpstreamCertificate { cause },
        UpstreamFault::Handshake { .. } | UpstreamFault::NoProtocol { .. } => Refusal::UpstreamHandshake { cause },
        UpstreamFault::ConnectTimeout { .. } => Refusal::UpstreamConnectTimeout { cause },
        UpstreamFault::FirstByteTimeout { .. } => Refusal::UpstreamFirstByteTimeout { cause },
        UpstreamFault::Ended { .. } | UpstreamFault::HungUp { .. } | UpstreamFault::Misbehaved { .. } => {
            Refusal::UpstreamMisbehaved { cause }
        }
        UpstreamFault::NoTunnel { .. } => Refusal::UpstreamNoTunnel { cause },
        UpstreamFault::BadHandshake(why) => Refusal::BadRequest(why),
        UpstreamFault::Shortage { .. } => Refusal::Overloaded { cause },
        UpstreamFault::Busy { .. } => Refusal::UpstreamBusy { cause },
        UpstreamFault::ClientBody { cause } => cause.into(),
    })
}
