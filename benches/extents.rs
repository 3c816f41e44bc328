//! Extents and checkpoints: what a slice costs beside its bytes.

use std::{hint::black_box, ops::Range, time::Duration};

use criterion::{BatchSize, BenchmarkId, Criterion};
use longshore_storage::{
    Limits, UploadKey,
    checkpoint::{Checkpoint, DigestProgress},
    digest::{DigestChoice, DigestState},
    extents::Extents,
};

const SLICE_BYTES: u64 = 16 << 20;
/// Numbers of islands: one upload in order, one of a browser, and the most that an upload may have.
const ISLANDS: [u64; 3] = [1, 64, 4096];

fn slice(number: u64) -> Range<u64> {
    number * SLICE_BYTES..(number + 1) * SLICE_BYTES
}

/// Every other slice, so that none touch.
fn islands(count: u64) -> Extents {
    let mut extents = Extents::new();
    for number in 0..count {
        extents.insert(slice(2 * number));
    }
    extents
}

fn inserting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("extents: the 65,536 slices of 1 TiB");
    group.bench_function("in order", |bencher| {
        bencher.iter(|| {
            let mut extents = Extents::new();
            for number in 0..65_536 {
                extents.insert(slice(black_box(number)));
            }
            assert_eq!(extents.len(), 1);
        });
    });
    group.bench_function("four at a time, the last of them first", |bencher| {
        bencher.iter(|| {
            let mut extents = Extents::new();
            for number in 0..65_536_u64 {
                extents.insert(slice(black_box(number ^ 3)));
            }
            assert_eq!(extents.len(), 1);
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group("extents: one gap is filled");
    for count in ISLANDS {
        let extents = islands(count);
        let gap = slice(count / 2 * 2 + 1);
        group.bench_with_input(BenchmarkId::from_parameter(count), &extents, |bencher, extents| {
            bencher.iter_batched_ref(
                || extents.clone(),
                |extents| {
                    extents.insert(gap.clone());
                    extents.prefix()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("extents: what is missing of a slice");
    for count in ISLANDS {
        let extents = islands(count);
        group.bench_with_input(BenchmarkId::from_parameter(count), &extents, |bencher, extents| {
            bencher.iter(|| extents.missing(black_box(slice(count))));
        });
    }
}

fn checkpoints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checkpoint");
    for count in ISLANDS {
        let checkpoint = Checkpoint {
            key: UploadKey(uuid::Uuid::from_u128(7)),
            sequence: 1,
            epoch: 1,
            declared_length: Some(1 << 40),
            choice: DigestChoice::BOTH,
            extents: islands(count.min(Limits::for_cores(1).extents_max as u64)),
            digests: DigestProgress::Running(DigestState::new(DigestChoice::BOTH).save()),
            image: None,
        };
        let bytes = checkpoint.encode();
        group.bench_with_input(BenchmarkId::new("encode", count), &checkpoint, |bencher, it| {
            bencher.iter(|| it.encode());
        });
        group.bench_with_input(BenchmarkId::new("decode", count), &bytes, |bencher, bytes| {
            bencher.iter(|| Checkpoint::decode(black_box(bytes)).expect("it was just written"));
        });
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    inserting(&mut criterion);
    checkpoints(&mut criterion);
    criterion.final_summary();
}
