//! Background jobs.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rollcall::error::Error;
use rollcall::jobs::Job;
use rollcall::metrics::Metrics;
use tokio::sync::Notify;

use crate::support::{Server, run};

#[test]
fn a_job_that_panics_or_fails_runs_again_and_ends_nothing_else() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static THIRD: LazyLock<Notify> = LazyLock::new(Notify::new);
    let job = Job {
        name: "test",
        interval: Duration::ZERO,
        is_frequent: false,
        run: |_| {
            Box::pin(async {
                match RUNS.fetch_add(1, Ordering::Relaxed) {
                    0 => panic!("on purpose"),
                    1 => return Err(Error::internal("on purpose")),
                    _ => THIRD.notify_one(),
                }
                Ok(7)
            })
        },
    };
    run(async {
        let server = Server::start_with(|app| app.measure(&Metrics::on(app.clock.now()))).await;
        tokio::select! {
            () = job.repeat(&server.app) => unreachable!("it never ends"),
            () = THIRD.notified() => {}
        }
        let text = server.app.metrics.text().unwrap();
        for outcome in ["ended", "failed"] {
            let line = format!("rollcall_job_runs_total{{task=\"test\",outcome=\"{outcome}\"}} 1");
            assert!(text.contains(&line), "{line} in {text}");
        }
    });
}
