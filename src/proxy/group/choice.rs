//! Which of several addresses is asked. Pure: what it judges by are arguments.
//!
//! Whoever is in comes before whoever is out, and only then it matters who is least busy, whose turn it is or who
//! wins the visitor. When all are out, all are asked: a gateway that is wrong about everybody must not make it
//! worse. A visitor is kept by rendezvous hashing (Thaler and Ravishankar, 1996): each address draws a number for
//! each visitor and the highest wins, so that when one leaves, its visitors alone move, and move back when it
//! returns. Called by `proxy::group`.

use super::standing::View;

/// How a route's addresses share its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest requests under way; in turn among equals.
    #[default]
    LeastConnections,
    /// One after the other.
    RoundRobin,
    /// Each person keeps theirs; who is not signed in has the least busy one.
    Sticky,
}

/// What the choice is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The fewest requests under way.
    LeastBusy,
    /// In turn.
    InTurn,
    /// The winner for this visitor ([`hash`]).
    For(u64),
}

/// What the choice knows of one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    /// Its place in the list.
    pub(super) index: usize,
    /// How it stands.
    pub(super) view: View,
    /// How many requests it has under way.
    pub(super) busy: usize,
    /// Its [`hash`].
    pub(super) seed: u64,
}

/// How welcome an address is, before anything else counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Out,
    NotYet,
    In,
}

/// Chooses among `seats`; `turn` is one more each time. `None` when there is none.
pub(super) fn choose(way: Way, seats: impl Iterator<Item = Seat> + Clone, turn: usize) -> Option<usize> {
    let score = |seat: &Seat| {
        let merit = match way {
            Way::LeastBusy => u64::MAX - seat.busy as u64,
            Way::InTurn => 0,
            Way::For(visitor) => mix(visitor ^ seat.seed),
        };
        (rank(way, seat, turn), merit)
    };
    let (mut best, mut first, mut equals) = (None, None, 0);
    for seat in seats.clone() {
        let score = Some(score(&seat));
        if score > best {
            (best, first, equals) = (score, Some(seat.index), 1);
        } else if score == best {
            equals += 1;
        }
    }
    if equals <= 1 {
        return first;
    }
    // Standings change at any time, from other cores too: what was equal may not be found again.
    let mut equal = seats.filter(|seat| Some(score(seat)) == best);
    equal.nth(turn % equals).map(|seat| seat.index).or(first)
}

/// Whether an address that has just come back takes part this time: a share of the requests, or of the people,
/// that grows. A person who was taken in stays.
fn rank(way: Way, seat: &Seat, turn: usize) -> Rank {
    match seat.view {
        View::In => Rank::In,
        View::Out => Rank::Out,
        View::Warming(share) => {
            let draw = match way {
                Way::LeastBusy | Way::InTurn => mix(turn as u64 ^ seat.seed),
                Way::For(visitor) => mix(mix(visitor) ^ seat.seed),
            };
            if draw <= share { Rank::In } else { Rank::NotYet }
        }
    }
}

/// FNV-1a, with [`mix`] after it: the same in every process, so that several gateways agree.
pub(super) fn hash(text: &str) -> u64 {
    mix(text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// MurmurHash3's last step: every bit of the result depends on every bit of the value.
pub(super) fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    value = (value ^ (value >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [&str; 4] =
        ["http://10.0.0.1:80", "http://10.0.0.2:80", "http://10.0.0.3:80", "http://10.0.0.4:80"];

    fn seats(busy: [usize; 4]) -> Vec<Seat> {
        let seat = |(index, busy)| Seat { index, view: View::In, busy, seed: hash(ADDRESSES[index]) };
        busy.into_iter().enumerate().map(seat).collect()
    }

    fn pick(way: Way, seats: &[Seat], turn: usize) -> Option<usize> {
        choose(way, seats.iter().copied(), turn)
    }

    fn turns(way: Way, seats: &[Seat], count: usize) -> [usize; 4] {
        let mut picks = [0; 4];
        for turn in 0..count {
            picks[pick(way, seats, turn).unwrap()] += 1;
        }
        picks
    }

    fn person(number: usize) -> Way {
        Way::For(hash(&format!("0055g0000{number:09}@00D5g00000PrtClEAJ")))
    }

    #[test]
    fn the_least_busy_is_asked() {
        assert_eq!(pick(Way::LeastBusy, &seats([3, 1, 2, 1]), 0), Some(1));
        assert_eq!(pick(Way::LeastBusy, &seats([3, 1, 2, 1]), 1), Some(3), "in turn among equals");
        assert_eq!(turns(Way::LeastBusy, &seats([0, 0, 0, 9]), 300), [100, 100, 100, 0]);
    }

    #[test]
    fn in_turn_is_one_after_the_other_however_busy() {
        let seats = seats([9, 0, 0, 0]);
        let picks: Vec<_> = (0..5).map(|turn| pick(Way::InTurn, &seats, turn).unwrap()).collect();
        assert_eq!(picks, [0, 1, 2, 3, 0]);
    }

    #[test]
    fn who_is_out_is_not_asked_and_its_share_is_everybodys() {
        for way in [Way::LeastBusy, Way::InTurn] {
            let mut seats = seats([0; 4]);
            seats[1].view = View::Out;
            assert_eq!(turns(way, &seats, 300), [100, 0, 100, 100], "{way:?}");
        }
    }

    #[test]
    fn when_all_are_out_all_are_asked() {
        let mut seats = seats([0; 4]);
        seats.iter_mut().for_each(|seat| seat.view = View::Out);
        assert_eq!(turns(Way::InTurn, &seats, 400), [100; 4]);
        assert_eq!(turns(Way::LeastBusy, &seats, 400), [100; 4]);
        assert_eq!(pick(Way::InTurn, &[], 0), None);
    }

    #[test]
    fn one_that_is_in_comes_before_all_that_are_out() {
        let mut seats = seats([9, 0, 0, 0]);
        seats[1..].iter_mut().for_each(|seat| seat.view = View::Out);
        for way in [Way::LeastBusy, Way::InTurn, person(7)] {
            assert_eq!(pick(way, &seats, 5), Some(0), "{way:?}");
        }
    }

    #[test]
    fn people_spread_evenly_and_stay() {
        let seats = seats([0; 4]);
        let mut counts = [0_usize; 4];
        for number in 0..4000 {
            let first = pick(person(number), &seats, 0);
            assert_eq!(first, pick(person(number), &seats, number), "the turn does not matter");
            counts[first.unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn only_the_people_of_an_address_that_leaves_move_and_they_move_back() {
        let mut seats = seats([0; 4]);
        let home: Vec<_> = (0..2000).map(|number| pick(person(number), &seats, 0).unwrap()).collect();
        seats[2].view = View::Out;
        let mut refuges = [0_usize; 4];
        for (number, &home) in home.iter().enumerate() {
            let now = pick(person(number), &seats, 0).unwrap();
            if home == 2 {
                refuges[now] += 1;
            } else {
                assert_eq!(now, home);
            }
        }
        assert_eq!(refuges[2], 0);
        assert!([0, 1, 3].iter().all(|&other| refuges[other] > 120), "the others share them: {refuges:?}");
        seats[2].view = View::In;
        for (number, &home) in home.iter().enumerate() {
            assert_eq!(pick(person(number), &seats, 0), Some(home));
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter_to_people() {
        let seats = seats([0; 4]);
        let mut turned = seats.clone();
        turned.rotate_left(1);
        for number in 0..500 {
            assert_eq!(pick(person(number), &seats, 0), pick(person(number), &turned, 0));
        }
    }

    #[test]
    fn one_that_came_back_gets_a_share_that_grows() {
        for way in [Way::LeastBusy, Way::InTurn] {
            let mut seats = seats([5, 5, 5, 5]);
            seats[3].busy = 0;
            seats[3].view = View::Warming(u64::MAX / 10);
            let early = turns(way, &seats, 4000)[3];
            seats[3].view = View::Warming(u64::MAX / 2);
            let late = turns(way, &seats, 4000)[3];
            let full = if way == Way::LeastBusy { 4000 } else { 1000 };
            assert!((full / 20..full / 5).contains(&early), "{way:?}: {early} of {full}");
            assert!((full * 2 / 5..full * 3 / 5).contains(&late), "{way:?}: {late} of {full}");
        }
    }

    #[test]
    fn people_return_to_one_that_came_back_one_after_the_other_and_stay_there() {
        let mut seats = seats([0; 4]);
        let at_home: Vec<_> = (0..4000).filter(|&number| pick(person(number), &seats, 0) == Some(0)).collect();
        let mut returned = Vec::new();
        for tenth in 1..=10 {
            seats[0].view = View::Warming(u64::MAX / 10 * tenth);
            let now: Vec<_> =
                at_home.iter().copied().filter(|&number| pick(person(number), &seats, 0) == Some(0)).collect();
            assert!(returned.iter().all(|number| now.contains(number)), "nobody leaves again");
            let expected = at_home.len() * usize::try_from(tenth).unwrap() / 10;
            assert!(now.len().abs_diff(expected) < 80, "{} for {expected}", now.len());
            returned = now;
        }
    }

    #[test]
    fn one_that_came_back_is_asked_when_nobody_else_is_in() {
        let mut seats = seats([0; 4]);
        seats.iter_mut().for_each(|seat| seat.view = View::Out);
        seats[2].view = View::Warming(0);
        for way in [Way::LeastBusy, Way::InTurn, person(1)] {
            assert_eq!(pick(way, &seats, 3), Some(2), "{way:?}");
        }
    }
}
