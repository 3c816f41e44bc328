//! Every kernel against the crates `md-5` and `sha2`.

use md5::{Digest as _, Md5};
use proptest::prelude::*;
use sha2::Sha256;

use super::{
    Kernel::{
        Bmi2, Fused, Generic, Lanes8Avx2, Lanes8Avx512, Lanes8Sha, Lanes16Avx512, Pair, Rows,
    },
    kernel::Cpu,
    *,
};
use crate::digest::{DigestChoice, DigestState, Digests};

const CHOICES: [DigestChoice; 3] = [
    DigestChoice::BOTH,
    DigestChoice { md5: true, sha256: false },
    DigestChoice { md5: false, sha256: true },
];

/// Every kernel that runs here, and the choice among them. Those that do not are named, and fail where `REQUIRE_KERNELS` has them:
/// under an emulator that is to have their instructions.
fn engines() -> Vec<(&'static str, Engine)> {
    let required = std::env::var("REQUIRE_KERNELS").unwrap_or_default();
    let mut engines = vec![("auto", Engine::default())];
    for kernel in Kernel::ALL {
        match Engine::new(KernelChoice::Only(kernel)) {
            Ok(engine) => engines.push((kernel.name(), engine)),
            Err(missing) => {
                assert!(!required.split(',').any(|name| name == kernel.name()), "{missing}");
                println!("NOT RUN: {missing}");
            }
        }
    }
    engines
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    let mut state = seed as u64 + 1;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..length).map(next).collect()
}

fn expected(choice: DigestChoice, bytes: &[u8]) -> Digests {
    Digests {
        md5: choice.md5.then(|| Md5::digest(bytes).into()),
        sha256: choice.sha256.then(|| Sha256::digest(bytes).into()),
    }
}

/// Hashes all streams in one batch.
fn batch(engine: Engine, choice: DigestChoice, streams: &[&[u8]]) -> Vec<Digests> {
    let mut states = vec![DigestState::new(choice); streams.len()];
    let mut parts: Vec<_> = states.iter_mut().zip(streams.iter().copied()).collect();
    engine.update(&mut parts);
    states.into_iter().map(DigestState::finish).collect()
}

#[test]
fn every_kernel_gives_the_words_of_the_crates_at_every_cut() {
    let bytes = bytes(1300, 1);
    let expected = expected(DigestChoice::BOTH, &bytes);
    for (name, engine) in engines() {
        for cut in 0..=200 {
            let mut state = DigestState::new(DigestChoice::BOTH);
            engine.update(&mut [(&mut state, &bytes[..cut])]);
            engine.update(&mut [(&mut state, &bytes[cut..])]);
            assert_eq!(state.finish(), expected, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn every_kernel_takes_any_number_of_streams_wherever_their_bytes_begin() {
    let bytes = bytes(20_000, 2);
    for (name, engine) in engines() {
        for count in 1..=33 {
            let choice = CHOICES[count % 3];
            let streams: Vec<_> = (0..count)
                .map(|stream| &bytes[stream * 7..stream * 7 + 640 + 64 * (stream % 5) + stream % 3])
                .collect();
            for (at, digests) in batch(engine, choice, &streams).into_iter().enumerate() {
                assert_eq!(digests, expected(choice, streams[at]), "{name}, {at} of {count}");
            }
        }
    }
}

#[test]
fn every_kernel_meets_the_borders_of_blocks_and_of_groups_of_blocks() {
    let bytes = bytes(70_000, 3);
    let borders = [0usize, 64, 128, 192, 256, 320, 512, 576, 1024, 4096, 8192, 8256, 65_536];
    for (name, engine) in engines() {
        for choice in CHOICES {
            for border in borders {
                let lengths = [border, border + 1, border + 63, border.saturating_sub(1)];
                let streams = lengths.map(|length| &bytes[5..5 + length]);
                for (at, digests) in batch(engine, choice, &streams).into_iter().enumerate() {
                    let length = lengths[at];
                    assert_eq!(digests, expected(choice, streams[at]), "{name}, {length} bytes");
                }
            }
        }
    }
}

#[test]
fn a_state_goes_from_every_kernel_to_every_other() {
    let bytes = bytes(6400, 4);
    let expected = expected(DigestChoice::BOTH, &bytes);
    for (first_name, first) in engines() {
        for (second_name, second) in engines() {
            let mut state = DigestState::new(DigestChoice::BOTH);
            first.update(&mut [(&mut state, &bytes[..3200])]);
            let mut state = DigestState::restore(DigestChoice::BOTH, &state.save()).unwrap();
            second.update(&mut [(&mut state, &bytes[3200..])]);
            assert_eq!(state.finish(), expected, "{first_name}, then {second_name}");
        }
    }
}

#[test]
fn streams_of_different_choices_share_a_batch() {
    let bytes = bytes(5000, 5);
    let none = DigestChoice { md5: false, sha256: false };
    let choices = [CHOICES[0], none, CHOICES[1], CHOICES[2], CHOICES[0]];
    let mut states = choices.map(DigestState::new);
    let mut parts: Vec<_> = states.iter_mut().map(|state| (state, &bytes[..])).collect();
    Engine::default().update(&mut parts);
    for (state, choice) in states.into_iter().zip(choices) {
        assert_eq!(state.offset(), 5000);
        assert_eq!(state.finish(), expected(choice, &bytes));
    }
}

#[test]
fn a_kernel_that_cannot_run_is_refused_and_never_chosen() {
    let flags = [false, true];
    for (avx512, avx2) in flags.into_iter().flat_map(|a| flags.map(|b| (a, b))) {
        for (sha, bmi) in flags.into_iter().flat_map(|a| flags.map(|b| (a, b))) {
            let cpu = Cpu { avx512, avx2, sha, bmi };
            for choice in CHOICES {
                for streams in 1..=40 {
                    let kernel = Kernel::fastest(cpu, choice, streams);
                    assert!(kernel.runs_on(cpu), "{kernel:?} on {cpu:?}");
                }
            }
        }
    }
    for kernel in Kernel::ALL {
        let runs = kernel.runs_on(Cpu::here());
        assert_eq!(Engine::new(KernelChoice::Only(kernel)).is_ok(), runs);
        assert_eq!(kernel.runs_on(Cpu::default()), kernel == Kernel::Generic);
    }
}

#[test]
fn the_ladder_is_the_measured_one() {
    let ladder = |cpu| {
        let mut ladder: Vec<_> = (1..=16)
            .map(|streams| (Kernel::fastest(cpu, DigestChoice::BOTH, streams), streams))
            .collect();
        ladder.dedup_by_key(|step| step.0);
        ladder
    };
    let all = Cpu { avx512: true, avx2: true, sha: true, bmi: true };
    assert_eq!(ladder(all), [(Fused, 1), (Pair, 2), (Lanes8Avx512, 6), (Lanes16Avx512, 12)]);
    let no_sha = Cpu { sha: false, ..all };
    assert_eq!(ladder(no_sha), [(Rows, 1), (Lanes8Avx512, 3), (Lanes16Avx512, 10)]);
    assert_eq!(ladder(Cpu { avx512: false, ..all }), [(Fused, 1), (Pair, 2), (Lanes8Sha, 6)]);
    assert_eq!(ladder(Cpu { avx512: false, ..no_sha }), [(Bmi2, 1), (Lanes8Avx2, 3)]);
    assert_eq!(ladder(Cpu::default()), [(Generic, 1)]);
}

#[test]
fn the_measurement_names_the_kernels_of_the_ladder() {
    let engine = Engine::default();
    for speed in engine.measure(DigestChoice::BOTH, std::time::Duration::from_micros(50)) {
        let kernel = Kernel::fastest(Cpu::here(), DigestChoice::BOTH, speed.streams);
        assert_eq!(speed.kernel, kernel);
        assert!(speed.mb_per_sec > 0 && engine.kernels().contains(&kernel));
    }
}

proptest! {
    /// Streams grow by pieces in any order and in any company.
    #[test]
    fn any_schedule_gives_the_digests_of_the_crates(
        lengths in prop::collection::vec(0usize..9000, 1..20),
        rounds in prop::collection::vec(prop::collection::vec((0usize..20, 0usize..3000), 1..20), 0..8),
        choice in 0usize..3,
    ) {
        let choice = CHOICES[choice];
        let streams: Vec<_> = lengths.iter().enumerate().map(|(at, length)| bytes(*length, at)).collect();
        for (name, engine) in engines() {
            let mut states = vec![DigestState::new(choice); streams.len()];
            let mut ends = vec![0usize; streams.len()];
            for round in rounds.iter().chain([&(0..20).map(|at| (at, usize::MAX)).collect()]) {
                let begins = ends.clone();
                for (at, more) in round {
                    if let Some(end) = ends.get_mut(*at) {
                        *end = lengths[*at].min(end.saturating_add(*more));
                    }
                }
                let mut parts: Vec<_> = states
                    .iter_mut()
                    .enumerate()
                    .map(|(at, state)| (state, &streams[at][begins[at]..ends[at]]))
                    .collect();
                engine.update(&mut parts);
            }
            for (at, state) in states.into_iter().enumerate() {
                prop_assert_eq!(state.finish(), expected(choice, &streams[at]), "{}", name);
            }
        }
    }
}
