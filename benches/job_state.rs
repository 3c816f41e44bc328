//! The long job's state machine. It is asked at every change of a job, under the job's lock.

use std::{hint::black_box, time::Duration};

use criterion::Criterion;
use longshore::domain::job_state::{JobEvent, JobState, Next, SuspendReason};

fn states(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("job state");
    group.bench_function("every event in every state", |bencher| {
        bencher.iter(|| {
            let mut moves = 0;
            for state in black_box(JobState::ALL) {
                for event in black_box(JobEvent::ALL) {
                    moves += usize::from(matches!(state.on(event), Ok(Next::To(_))));
                }
            }
            moves
        });
    });
    // Broken off and woken again, then done.
    let life = [
        JobEvent::Start,
        JobEvent::BytesArrived,
        JobEvent::WentSilent,
        JobEvent::BytesArrived,
        JobEvent::NodeLost,
        JobEvent::BytesArrived,
        JobEvent::Succeed,
    ];
    group.bench_function("the life of a job", |bencher| {
        bencher.iter(|| {
            let mut state = JobState::Waiting;
            for event in black_box(life) {
                if let Ok(Next::To(next)) = state.on(event) {
                    state = next;
                }
            }
            assert_eq!(state, JobState::Succeeded);
        });
    });
    group.bench_function("read from a row", |bencher| {
        let (name, reason) = ("Suspended", Some(SuspendReason::IoError.name()));
        bencher.iter(|| JobState::from_names(black_box(name), black_box(reason)));
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    states(&mut criterion);
    criterion.final_summary();
}
