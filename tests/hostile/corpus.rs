//! The kept inputs of the fuzz targets, replayed: what was found once is found again without a fuzzer.

use std::{fs, path::Path};

#[path = "../../fuzz/checks.rs"]
mod checks;

#[test]
fn every_kept_input_holds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| {
        let entries = fs::read_dir(fuzz.join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().path());
        let mut names: Vec<_> =
            names.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let mut known = checks::ALL.map(|(name, _)| name).to_vec();
    known.sort_unstable();
    assert_eq!(names("corpus"), known, "every check has its kept inputs");
    assert_eq!(names("fuzz_targets"), known, "every check has its target");
    for (name, check) in checks::ALL {
        let kept: Vec<_> = fs::read_dir(fuzz.join("corpus").join(name)).unwrap().collect();
        assert!(kept.len() >= 5, "{name}: {} kept inputs", kept.len());
        for entry in kept {
            let path = entry.unwrap().path();
            let input = fs::read(&path).unwrap();
            let held = std::panic::catch_unwind(|| check(&input));
            assert!(held.is_ok(), "{} does not hold", path.display());
        }
    }
}
