//! The digest kernels beside `md-5` and `sha2`, both digests of 1 to 16 streams.
//!
//! `cargo bench --bench digest` prints criterion's statistics and then a table of one run, in which the kernels and the crates take
//! turns: ratios, and cycles per byte where the clock can be estimated. `-- table` prints the table alone.
#![expect(clippy::print_stdout, reason = "a measuring tool prints its numbers")]

use std::{hint::black_box, time::Duration, time::Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use longshore_storage::digest::{DigestChoice, DigestState, Engine, Kernel, KernelChoice};
use md5::{Digest as _, Md5};
use sha2::Sha256;

const STREAMS: [usize; 5] = [1, 2, 4, 8, 16];
/// What a hash worker shows a stream in one step.
const BYTES: usize = 64 << 10;
/// Turns of every row of the table.
const TURNS: usize = 150;

/// A kernel, or the choice among them, by name; and how many streams it takes at once.
type Named = (&'static str, Engine, usize);

/// What runs here. The kernels that do not are named.
fn engines() -> Vec<Named> {
    let mut engines = vec![("auto", Engine::AUTO, 16)];
    for kernel in Kernel::ALL {
        match Engine::new(KernelChoice::Only(kernel)) {
            Ok(engine) => engines.push((kernel.name(), engine, kernel.streams())),
            Err(missing) => println!("NOT RUN: {missing}"),
        }
    }
    engines
}

fn buffers() -> Vec<Vec<u8>> {
    let byte = |stream: usize, at: usize| (at * 131 + stream * 17 + (at >> 8)).to_le_bytes()[0];
    (0..16).map(|stream| (0..BYTES).map(|at| byte(stream, at)).collect()).collect()
}

fn side_by_side(engine: Engine, states: &mut [DigestState], buffers: &[Vec<u8>]) {
    let mut streams: Vec<_> =
        states.iter_mut().zip(buffers).map(|(state, bytes)| (state, &bytes[..])).collect();
    engine.update(&mut streams);
}

fn with_crates(hashers: &mut (Md5, Sha256), bytes: &[u8]) {
    hashers.0.update(bytes);
    hashers.1.update(bytes);
}

fn statistics(criterion: &mut Criterion, engines: &[Named]) {
    let buffers = buffers();
    for count in STREAMS {
        let mut group = criterion.benchmark_group(format!("both digests, {count} streams"));
        group.throughput(Throughput::Bytes((count * BYTES) as u64));
        let mut hashers = vec![(Md5::new(), Sha256::new()); count];
        group.bench_function("md-5 and sha2", |bencher| {
            bencher.iter(|| {
                for (hashers, bytes) in hashers.iter_mut().zip(&buffers) {
                    with_crates(hashers, black_box(bytes));
                }
            });
        });
        for &(name, engine, widest) in engines {
            if count > widest {
                continue;
            }
            let mut states = vec![DigestState::new(DigestChoice::BOTH); count];
            group.bench_with_input(
                BenchmarkId::from_parameter(name),
                &engine,
                |bencher, engine| {
                    bencher.iter(|| side_by_side(*engine, &mut states, black_box(&buffers)));
                },
            );
        }
    }
}

/// Cycles per second at this moment: a chain of multiplications (3 cycles on today's x86-64) and ORs (1) of which nothing can be left out or
/// done beside the others. `None` elsewhere.
fn clock_hz() -> Option<f64> {
    const LINKS: u32 = 20_000;
    if !cfg!(target_arch = "x86_64") {
        return None;
    }
    let (begun, mut value) = (Instant::now(), black_box(3_u64));
    for _ in 0..LINKS {
        value = value.wrapping_mul(value | 1);
    }
    black_box(value);
    Some(4.0 * f64::from(LINKS) / begun.elapsed().as_secs_f64())
}

struct Row {
    name: &'static str,
    streams: usize,
    bytes: f64,
    turn: Box<dyn FnMut()>,
    secs: Vec<f64>,
    cycles: Vec<f64>,
}

impl Row {
    fn new(name: &'static str, streams: usize, bytes: usize, turn: impl FnMut() + 'static) -> Self {
        let bytes = f64::from(u32::try_from(bytes).expect("at most a MiB"));
        let turn = Box::new(turn);
        Self { name, streams, bytes, turn, secs: Vec::new(), cycles: Vec::new() }
    }
}

/// The crates hash one stream after the other however many there are; one of them in each turn.
fn rows(engines: &[Named]) -> Vec<Row> {
    let mut rows = Vec::new();
    for count in STREAMS {
        let (buffers, mut hashers, mut next) =
            (buffers(), vec![(Md5::new(), Sha256::new()); count], 0);
        rows.push(Row::new("md-5 and sha2", count, BYTES, move || {
            with_crates(&mut hashers[next], &buffers[next]);
            next = (next + 1) % count;
        }));
        for &(name, engine, widest) in engines {
            if count <= widest {
                let mut states = vec![DigestState::new(DigestChoice::BOTH); count];
                let buffers = self::buffers();
                let turn = move || side_by_side(engine, &mut states, &buffers);
                rows.push(Row::new(name, count, count * BYTES, turn));
            }
        }
    }
    rows
}

/// The value that a tenth of the turns is below: somebody else on the core makes a turn longer, never shorter.
fn tenth(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 10]
}

fn table(engines: &[Named]) {
    let mut rows = rows(engines);
    for _ in 0..TURNS {
        for row in &mut rows {
            let clock = clock_hz();
            let begun = Instant::now();
            (row.turn)();
            let secs = begun.elapsed().as_secs_f64();
            row.secs.push(secs / row.bytes);
            row.cycles.extend(clock.map(|hz| secs * hz / row.bytes));
        }
    }
    println!(
        "\n| streams | kernel | MB/s | cycles/byte | times md-5 and sha2 |\n|---|---|---|---|---|"
    );
    let mut crates = 0.0;
    for row in &mut rows {
        let secs = tenth(&mut row.secs);
        let cycles = if row.cycles.is_empty() { None } else { Some(tenth(&mut row.cycles)) };
        // By cycles where they are known: the clock moves, also by what a kernel does to it.
        let cost = cycles.unwrap_or(secs);
        if row.name == "md-5 and sha2" {
            crates = cost;
        }
        let (name, streams, speed) = (row.name, row.streams, 1e-6 / secs);
        let cycles = cycles.map_or_else(|| "?".to_owned(), |cycles| format!("{cycles:.2}"));
        println!("| {streams} | {name} | {speed:.0} | {cycles} | {:.2} |", crates / cost);
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let engines = engines();
    statistics(&mut criterion, &engines);
    criterion.final_summary();
    // As a test every bench runs once, and figures are not asked for.
    if std::env::args().all(|argument| argument != "--test" && argument != "--list") {
        table(&engines);
    }
}
