//! The same verdict however the bytes come; nothing that they say makes it panic or grow.

use proptest::prelude::*;

use super::{
    super::{HELD_BYTES_MAX, Inspector, Report, Rules, SAVED_BYTES_MAX},
    finished, images, inspect, open_rules,
};

/// Bytes that are shown by their length and beginning when a case fails.
#[derive(Clone)]
struct Sample(Vec<u8>);

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes, first {:02x?}", self.0.len(), &self.0[..self.0.len().min(512)])
    }
}

/// Images of all formats; large ones are cut behind what their headers speak of.
fn bases() -> Vec<Sample> {
    let mut bases: Vec<_> = images::good().into_iter().map(|row| row.1.0).collect();
    bases.extend([images::luks().0, images::luks2().0]);
    bases.extend([images::qcow2().be64(8, 512).0, images::vmdk_with("x").0]);
    bases.into_iter().map(Sample).collect()
}

fn base() -> impl Strategy<Value = Sample> {
    prop::sample::select(bases())
}

/// What a client may do to bytes: change some where headers are, cut the end off.
fn mutated() -> impl Strategy<Value = Sample> {
    let place = prop_oneof![
        4 => 0..1024_usize,
        2 => 0..66_000_usize,
        1 => 190_000..330_000_usize,
        1 => images::VHDX_METADATA..images::VHDX_METADATA + 66_000,
    ];
    let value = prop_oneof![
        any::<[u8; 1]>().prop_map(|byte| byte.to_vec()),
        any::<[u8; 8]>().prop_map(|bytes| bytes.to_vec()),
        Just(vec![0xff; 8]),
        Just(vec![0; 4]),
        Just(b"CD001".to_vec()),
        Just(vec![0x55, 0xaa]),
    ];
    let changes = prop::collection::vec((place, value, any::<bool>()), 0..6);
    (base(), changes, prop::option::of(any::<prop::sample::Index>())).prop_map(
        |(Sample(mut bytes), changes, cut)| {
            for (at, value, from_end) in changes {
                let at = if from_end { bytes.len().saturating_sub(at + 1) } else { at };
                let room = bytes.len().saturating_sub(at).min(value.len());
                if room > 0 {
                    bytes[at..at + room].copy_from_slice(&value[..room]);
                }
            }
            // So that rules behind the checksums are reached too.
            if bytes.starts_with(b"vhdxfile") && bytes.len() > 330_000 && bytes.len() % 2 == 0 {
                bytes = images::vhdx_summed(images::Image(bytes)).0;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            Sample(bytes)
        },
    )
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(
        prop_oneof![1..600_usize, 500..524_usize, 4000..70_000_usize, 1_usize << 20..3 << 20],
        1..12,
    )
}

fn within_bounds(inspector: &Inspector) {
    assert!(inspector.held_bytes() <= HELD_BYTES_MAX, "holds {}", inspector.held_bytes());
    let saved = inspector.save();
    assert!(saved.len() <= SAVED_BYTES_MAX, "{} bytes saved", saved.len());
}

/// Feeds in pieces of these sizes, over and over. In order nothing may be wanted again.
fn in_pieces(rules: Rules, length: Option<u64>, bytes: &[u8], sizes: &[usize]) -> Report {
    let mut inspector = Inspector::new(rules, length);
    let mut at = 0;
    for size in sizes.iter().cycle() {
        if at == bytes.len() {
            break;
        }
        let end = bytes.len().min(at + size);
        inspector.feed(at as u64, &bytes[at..end]);
        within_bounds(&inspector);
        at = end;
    }
    inspector.end(bytes.len() as u64);
    inspector.report().unwrap_or_else(|| panic!("still wants {:?}", inspector.wanted()))
}

/// An image that is refused is refused for the reason that is proven first, which may be another one.
fn is_same_verdict(one: &Report, other: &Report) -> bool {
    one == other || (one.refusal().is_some() && other.refusal().is_some())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_split_gives_the_same_verdict(
        Sample(bytes) in mutated(), sizes in sizes(), is_declared: bool, open: bool,
    ) {
        let rules = if open { open_rules() } else { Rules::default() };
        let length = is_declared.then_some(bytes.len() as u64);
        let whole = in_pieces(rules, length, &bytes, &[usize::MAX >> 1]);
        prop_assert_eq!(&in_pieces(rules, length, &bytes, &sizes), &whole);
        // Whether the length was declared or not, the same images are taken.
        let other = inspect(rules, &bytes);
        prop_assert!(is_same_verdict(&other, &whole), "{:?}, otherwise {:?}", other, whole);
    }

    #[test]
    fn any_order_gives_the_same_verdict(
        Sample(bytes) in mutated(), order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        sizes in sizes(),
    ) {
        let mut inspector = Inspector::new(Rules::default(), Some(bytes.len() as u64));
        for (start, size) in order.iter().zip(sizes.iter().cycle()) {
            let start = start.index(bytes.len() + 1);
            let end = bytes.len().min(start + size);
            inspector.feed(start as u64, &bytes[start..end]);
            within_bounds(&inspector);
        }
        inspector.end(bytes.len() as u64);
        let whole = in_pieces(Rules::default(), Some(bytes.len() as u64), &bytes, &[1 << 30]);
        let found = finished(inspector, &bytes);
        prop_assert!(is_same_verdict(&found, &whole), "{:?}, in order {:?}", found, whole);
    }

    #[test]
    fn a_saved_state_goes_on_as_if_nothing_had_been(
        Sample(bytes) in mutated(), sizes in sizes(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
        is_declared: bool,
    ) {
        let length = is_declared.then_some(bytes.len() as u64);
        let mut inspector = Inspector::new(Rules::default(), length);
        let cuts: Vec<_> = cuts.iter().map(|cut| cut.index(sizes.len() * 2)).collect();
        let mut at = 0;
        for (number, size) in sizes.iter().cycle().enumerate().take(sizes.len() * 2) {
            let end = bytes.len().min(at + size);
            inspector.feed(at as u64, &bytes[at..end]);
            if cuts.contains(&number) {
                inspector = Inspector::restore(Rules::default(), length, &inspector.save()).unwrap();
            }
            at = end;
        }
        // The rest is there all the same: it is wanted.
        inspector.end(bytes.len() as u64);
        let whole = in_pieces(Rules::default(), length, &bytes, &[1 << 30]);
        let found = finished(inspector, &bytes);
        prop_assert!(is_same_verdict(&found, &whole), "{:?}, at once {:?}", found, whole);
    }

    #[test]
    fn any_bytes_as_a_state_are_refused_or_taken(
        noise in prop::collection::vec(any::<u8>(), 0..400), change: prop::sample::Index,
        Sample(base) in base(), byte: u8,
    ) {
        let mut inspector = Inspector::new(Rules::default(), None);
        inspector.feed(0, &base[..base.len().min(300_000)]);
        let mut saved = inspector.save();
        let place = change.index(saved.len() - 4);
        saved[place] ^= byte;
        prop_assert_eq!(Inspector::restore(Rules::default(), None, &saved).is_some(), byte == 0);
        for state in [&saved[..saved.len() - 4], &noise] {
            let mut state = state.to_vec();
            let sum = crc32c::crc32c(&state);
            state.extend_from_slice(&sum.to_le_bytes());
            if let Some(mut restored) = Inspector::restore(Rules::default(), None, &state) {
                restored.feed(0, &base);
                restored.end(base.len() as u64);
                within_bounds(&restored);
            }
        }
    }
}

#[test]
fn a_state_under_other_rules_or_of_another_file_is_not_continued() {
    let mut inspector = Inspector::new(Rules::default(), Some(100_000));
    inspector.feed(0, &vec![0; 70_000]);
    let saved = inspector.save();
    assert!(Inspector::restore(Rules::default(), Some(100_000), &saved).is_some());
    assert!(Inspector::restore(open_rules(), Some(100_000), &saved).is_none());
    assert!(Inspector::restore(Rules::default(), Some(100_001), &saved).is_none());
    assert!(Inspector::restore(Rules::default(), None, &saved).is_none());
    let restored = Inspector::restore(Rules::default(), Some(100_000), &saved).unwrap();
    assert_eq!(restored.wanted(), [95_904..100_000], "the head was judged");
    assert_eq!(restored.save(), saved);
}

/// Whoever feeds what is wanted until nothing is must come to an end.
#[test]
fn nothing_is_wanted_any_more_of_what_is_refused() {
    for length in [None, Some(2 << 20)] {
        let mut inspector = Inspector::new(Rules::default(), length);
        assert!(inspector.feed(0, &images::luks().0[..600]).is_some());
        assert_eq!((inspector.wanted(), inspector.held_bytes()), (vec![], 0));
        assert!(inspector.end(2 << 20).is_some());
        assert_eq!((inspector.wanted(), inspector.held_bytes()), (vec![], 0));
        assert_eq!(inspector.report().unwrap().virtual_size, 2 << 20);
    }
}

/// A header can name at most a mebibyte of descriptor; nothing is held before its bytes come.
#[test]
fn what_a_header_claims_is_not_allocated() {
    let large = images::vmdk().le64(36, 2047);
    let mut inspector = Inspector::new(Rules::default(), None);
    inspector.feed(0, &large.0[..512]);
    assert!(inspector.held_bytes() <= 80 << 10, "holds {}", inspector.held_bytes());
    inspector.feed(512, &large.0[512..]);
    inspector.feed(65_536, &vec![b'\n'; 900_000]);
    assert!((1 << 20..=HELD_BYTES_MAX).contains(&inspector.held_bytes()));
}

/// Pieces that lie apart have a bound too; what is not kept is wanted.
#[test]
fn scattered_bytes_cost_no_memory_and_are_wanted_again() {
    let bytes = images::qcow2().0;
    let mut inspector = Inspector::new(Rules::default(), Some(bytes.len() as u64));
    for at in (1..60_000).step_by(2) {
        inspector.feed(at as u64, &bytes[at..=at]);
    }
    assert!(inspector.wanted().len() < 100, "{}", inspector.wanted().len());
    assert_eq!(finished(inspector, &bytes), inspect(Rules::default(), &bytes));
}
