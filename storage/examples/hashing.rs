//! Hashes a file again and again with MD5 and SHA-256 and nothing else, and prints CPU seconds per GiB as JSON: `hashing <file> <MiB>`.
//! What a server needs beyond this is its own doing.
#![expect(clippy::print_stdout, reason = "a measuring tool prints its numbers")]

use md5::Md5;
use sha2::{Digest, Sha256};

/// About what the store hands over at once; it stays in the cache of a core.
const PIECE_BYTES: usize = 256 << 10;

/// CPU seconds of this process, to 10 ms.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc is there");
    let (_, fields) = stat.rsplit_once(')').expect("the name ends with a parenthesis");
    let spent = fields.split_whitespace().skip(11).take(2);
    spent.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// CPU seconds per GiB of showing `mib` MiB, made of `bytes`, to `hash`.
fn cost(bytes: &[u8], mib: usize, mut hash: impl FnMut(&[u8])) -> f64 {
    let before = cpu_secs();
    for piece in bytes.chunks(PIECE_BYTES).cycle().take((mib << 20) / PIECE_BYTES) {
        hash(piece);
    }
    let mib = f64::from(u32::try_from(mib).expect("a few MiB"));
    (cpu_secs() - before) * 1024.0 / mib
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a file");
    let mib = arguments.next().and_then(|mib| mib.parse().ok()).unwrap_or(256);
    let bytes = std::fs::read(path).expect("the file can be read");
    let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
    let md5_alone = cost(&bytes, mib, |piece| md5.update(piece));
    let sha256_alone = cost(&bytes, mib, |piece| sha256.update(piece));
    let both = cost(&bytes, mib, |piece| {
        md5.update(piece);
        sha256.update(piece);
    });
    println!("{{\"md5\": {md5_alone:.3}, \"sha256\": {sha256_alone:.3}, \"both\": {both:.3}}}");
    // What nobody looks at is not computed.
    assert_ne!(md5.finalize()[..], sha256.finalize()[..16]);
}
