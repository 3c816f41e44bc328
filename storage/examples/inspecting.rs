//! Shows a file to the inspector, block by block, and hashes the same blocks with MD5 and SHA-256, in turns; prints what each of the two costs
//! this thread as JSON: `inspecting <file> [rounds]`. Every block is shown; a server does less, and reads the few parts that matter.
#![expect(clippy::print_stdout, reason = "a measuring tool prints its numbers")]

use longshore_storage::inspect::{Inspector, Rules};
use md5::Md5;
use sha2::{Digest, Sha256};

/// About what the store hands over at once; it stays in the cache of a core.
const BLOCK_BYTES: usize = 256 << 10;
/// Inspections of one round: one alone takes less than the clock of a thread can tell.
const INSPECTIONS: u32 = 1000;

/// CPU nanoseconds of this thread, as of the last tick of the kernel.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("/proc is there");
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number")
}

fn inspect(bytes: &[u8]) -> (&'static str, bool) {
    let mut inspector = Inspector::new(Rules::default(), Some(bytes.len() as u64));
    let mut at = 0;
    for block in bytes.chunks(BLOCK_BYTES) {
        inspector.feed(at, block);
        at += block.len() as u64;
    }
    let report = inspector.so_far();
    (report.format.name(), report.refusal().is_none())
}

fn hash(bytes: &[u8]) -> bool {
    let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
    for block in bytes.chunks(BLOCK_BYTES) {
        md5.update(block);
        sha256.update(block);
    }
    // What nobody looks at is not computed.
    md5.finalize()[..] == sha256.finalize()[..16]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let bytes = std::fs::read(arguments.next().expect("a file")).expect("it can be read");
    let rounds: u32 = arguments.next().map_or(5, |rounds| rounds.parse().expect("a number"));
    for round in 0..rounds {
        let begun = cpu_nanos();
        let looked = (0..INSPECTIONS).fold(None, |_, _| Some(inspect(&bytes)));
        let seen = looked.expect("there are some");
        let between = cpu_nanos();
        assert!(!hash(&bytes), "no two digests are the same");
        let (inspecting, hashing) = (between - begun, cpu_nanos() - between);
        // Of one inspection to one hashing, in millionths.
        let share = u128::from(inspecting) * 1_000_000
            / u128::from(INSPECTIONS)
            / u128::from(hashing.max(1));
        println!(
            "{{\"round\": {round}, \"bytes\": {}, \"format\": \"{}\", \"taken\": {}, \"inspecting_us\": {}, \"hashing_us\": {}, \"millionths\": {share}}}",
            bytes.len(),
            seen.0,
            seen.1,
            inspecting / u64::from(INSPECTIONS) / 1000,
            hashing / 1000,
        );
    }
}
