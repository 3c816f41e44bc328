//! Every backend keeps every promise.

use longshore_storage::{
    Durability,
    conformance::{MemoryFixture, local::LocalFixture},
    conformance_tests,
};

conformance_tests!(memory, MemoryFixture::new());
conformance_tests!(local, LocalFixture::new(Durability::PowerLoss).await);
conformance_tests!(local_process_crash, LocalFixture::new(Durability::ProcessCrash).await);
conformance_tests!(local_losing_power, LocalFixture::losing_power().await);

macro_rules! names {
    ({} $($module:ident: [$($case:ident,)*];)*) => {
        &[$((stringify!($module), &[$(stringify!($case)),*]),)*]
    };
}

/// A case that is written but not in the list would never run.
#[test]
fn every_case_is_in_the_list() {
    let listed: &[(&str, &[&str])] = longshore_storage::for_each_conformance_case!({ names });
    let sources = [
        ("checks", include_str!("../src/conformance/checks.rs")),
        ("claims", include_str!("../src/conformance/claims.rs")),
        ("control", include_str!("../src/conformance/control.rs")),
        ("copying", include_str!("../src/conformance/copying.rs")),
        ("digests", include_str!("../src/conformance/digests.rs")),
        ("images", include_str!("../src/conformance/images.rs")),
        ("overlap", include_str!("../src/conformance/overlap.rs")),
        ("recovery", include_str!("../src/conformance/recovery.rs")),
        ("whole", include_str!("../src/conformance/whole.rs")),
        ("writing", include_str!("../src/conformance/writing.rs")),
    ];
    assert_eq!(listed.len(), sources.len());
    for ((module, cases), (name, source)) in listed.iter().zip(sources) {
        assert_eq!(*module, name);
        let mut written: Vec<&str> = source
            .split("\npub async fn ")
            .skip(1)
            .filter_map(|rest| rest.split('(').next())
            .collect();
        let mut listed = cases.to_vec();
        written.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, written, "cases of {module}");
    }
}
