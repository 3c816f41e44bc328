//! The promises of a store as executable cases, for every backend.
//!
//! A backend brings a [`Fixture`] and expands [`conformance_tests!`](crate::conformance_tests): one test per case and backend.
//! Cases are named like the promises that they show. They panic when a promise is broken; they are tests, in library
//! form only so that backends outside this crate can run them.

#![expect(clippy::missing_panics_doc, reason = "a case panics exactly when its promise is broken")]

pub mod checks;
pub mod claims;
pub mod control;
pub mod copying;
pub mod digests;
mod fixture;
pub mod images;
pub mod local;
pub mod overlap;
pub mod recovery;
pub mod scenario;
pub mod whole;
pub mod writing;

pub use fixture::{Backend, Fixture, MemoryFixture, quick_limits, run};

/// Hands the names of all cases, by module, to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_conformance_case {
    ({ $($then:tt)+ } $($argument:tt)*) => {
        $($then)+ ! { { $($argument)* }
            checks: [
                a_checked_chunk_counts_only_after_its_checksum,
                a_mismatch_names_the_real_checksum_and_leaves_the_range_missing,
                the_digests_are_right_after_a_mismatch,
                an_interrupted_checked_chunk_counts_nothing,
                a_dropped_checked_chunk_counts_nothing,
                a_checked_chunk_that_is_too_large_is_refused,
                a_checksum_covers_the_whole_body_also_where_bytes_are_stored,
                a_short_checked_chunk_counts_nothing,
            ];
            claims: [
                parallel_slices_all_count,
                two_live_writers_never_evict_each_other,
                a_silent_holder_is_ended_and_its_bytes_count,
                a_silent_checked_holder_is_ended_and_counts_nothing,
                an_ended_writer_writes_no_more,
                a_newcomer_finds_stored_what_it_waited_for,
                writers_max_refuses_while_all_are_alive,
                writers_max_ends_the_longest_silent,
                a_duplicate_is_answered_as_stored,
                an_overlap_never_changes_stored_bytes,
                a_dropped_writer_releases_its_range,
            ];
            control: [
                revoke_drains,
                revoke_counts_nothing_of_a_checked_chunk,
                a_revoked_upload_takes_no_bytes_until_admitted,
                a_waiting_newcomer_learns_of_a_revoke,
                discard_ends_writers,
                a_fenced_epoch_changes_nothing,
                a_fence_survives_a_crash,
                a_writer_of_an_old_epoch_counts_nothing,
            ];
            copying: [
                copied_bytes_are_durable_and_hashed_like_all_others,
                a_copy_goes_on_where_a_crash_has_ended_it,
                a_copy_never_changes_stored_bytes,
                what_is_not_stored_is_not_copied,
                a_revoke_ends_a_copy_and_keeps_what_it_did,
                a_copy_of_an_old_epoch_changes_nothing,
            ];
            digests: [
                digests_equal_the_reference_for_any_slicing,
                every_choice_of_digests_is_kept,
                a_zero_length_upload_becomes_an_image,
                finish_is_repeatable,
                finish_refuses_while_bytes_are_missing,
                progress_grows_to_the_length,
                a_finished_upload_takes_no_bytes,
            ];
            images: [
                bytes_come_back_as_they_were_sent,
                publish_is_repeatable,
                publish_refuses_an_unfinished_upload,
                publish_replaces_no_other_image,
                discard_leaves_nothing_behind,
                discard_spares_the_published_image,
                deleting_an_image_is_repeatable,
                an_absent_image_is_not_found,
                reading_stops_at_the_offset_and_at_the_end,
                reading_past_the_cache_answers_the_same,
                what_is_stored_is_read_behind_gaps_too,
            ];
            overlap: [
                the_first_claim_decides_however_it_ends,
                a_superseded_writer_changes_nothing_in_any_interleaving,
            ];
            recovery: [
                what_was_acknowledged_survives_a_crash,
                what_was_not_acknowledged_does_no_harm,
                the_specification_survives_a_crash,
                finish_and_publish_survive_a_crash,
                a_revoke_is_forgotten_by_a_crash,
                many_crashes_never_lower_the_offset,
                set_aside_and_purge_are_explicit,
                the_store_keeps_its_identity_and_tells_its_room,
            ];
            whole: [
                digests_of_whole_bytes_are_right,
                a_whole_image_is_there_settled_or_not,
                a_whole_image_survives_crashes,
                a_whole_image_replaces_nothing,
                a_whole_image_is_deleted_settled_or_not,
                unsettled_images_are_set_aside_and_settled_ones_stay,
            ];
            writing: [
                create_is_repeatable_and_refuses_another_specification,
                an_unknown_upload_is_not_found,
                refuses_a_chunk_beyond_the_length_before_any_byte,
                refuses_a_chunk_that_overflows,
                first_declared_length_wins,
                a_length_below_stored_bytes_is_a_conflict,
                a_length_declared_under_a_running_writer_stands,
                a_body_without_length_ends_where_it_ends,
                a_body_without_length_stops_at_the_declared_length,
                a_short_body_counts_what_came,
                more_bytes_than_announced_are_refused,
                interrupt_counts_what_arrived,
                slices_in_any_order_make_the_prefix,
                extents_max_refuses_an_island_but_not_the_prefix,
                an_empty_chunk_changes_nothing,
            ];
        }
    };
}

/// Expands to a module with one `#[tokio::test]` for every case; `$fixture` is evaluated anew for each.
///
/// Needs `tokio` with `macros` and `rt-multi-thread` in the crate that uses it.
#[macro_export]
macro_rules! conformance_tests {
    ($name:ident, $fixture:expr) => {
        mod $name {
            use super::*;
            $crate::for_each_conformance_case! {
                { $crate::conformance_module_tests } $fixture
            }
        }
    };
}

/// One level of [`conformance_tests!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_module_tests {
    ({ $fixture:expr } $($module:ident: [$($case:ident,)*];)*) => {
        $crate::conformance_module_tests! { @flat { $fixture } $($($module $case)*)* }
    };
    (@flat { $fixture:expr } $($module:ident $case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture = $fixture;
                $crate::conformance::run(&fixture, |fixture| {
                    Box::pin($crate::conformance::$module::$case(fixture))
                })
                .await;
            }
        )*
    };
}
