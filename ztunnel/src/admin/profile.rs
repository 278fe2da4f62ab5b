//! CPU profiles of the running process, as `go tool pprof` and `istioctl` read them (AD-04).

mod format;
mod query;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::StatusCode;
use mesh_runtime::admin::{Request, Response, answer, text};
use pprof::{Frames, ProfilerGuard, ProfilerGuardBuilder, Report};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use format::{Frame, Profile, Sample};
use query::Wanted;

/// The profiler belongs to the process: its signals reach every thread.
static PROFILER: Semaphore = Semaphore::const_new(1);
/// Where unwinding may meet a lock that the interrupted code holds.
const NOT_SAMPLED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// For `GET /debug/pprof/profile`: samples for `seconds`, `frequency` times in each second of CPU time.
pub(super) fn cpu(request: &Request) -> impl Future<Output = Response> + Send + use<> {
    let wanted = Wanted::read(request.uri().query().unwrap_or_default());
    async move {
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        let Ok(_only_one) = PROFILER.try_acquire() else {
            return text(StatusCode::CONFLICT, "another profile is being taken; try again when it is done\n");
        };
        match sample(wanted).await {
            Ok(profile) => answer(StatusCode::OK, "application/octet-stream", profile),
            Err(reason) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot take a profile: {reason}\n"))
            }
        }
    }
}

/// For the paths of heap profiles.
pub(super) fn heap(_: &Request) -> Response {
    text(
        StatusCode::NOT_IMPLEMENTED,
        "no heap profiles: the allocator of this program keeps no record of who allocated; \
         /config_dump and the metrics tell what is held\n",
    )
}

async fn sample(wanted: Wanted) -> Result<Vec<u8>, String> {
    let guard = ProfilerGuardBuilder::default()
        .frequency(wanted.frequency)
        .blocklist(&NOT_SAMPLED)
        .build()
        .map_err(|error| error.to_string())?;
    sleep(Duration::from_secs(wanted.seconds)).await;
    // Names are looked up in the debug information, which takes time.
    let named = tokio::task::spawn_blocking(move || finish(guard));
    named.await.map_err(|error| error.to_string())?
}

fn finish(guard: ProfilerGuard<'_>) -> Result<Vec<u8>, String> {
    let report = guard.report().build().map_err(|error| error.to_string())?;
    drop(guard);
    Ok(profile(&report).encode())
}

fn profile(report: &Report) -> Profile {
    let of = |(frames, count): (&Frames, &isize)| Sample {
        thread: frames.thread_name_or_id(),
        calls: frames.frames.iter().map(|inlined| inlined.iter().map(frame).collect()).collect(),
        count: i64::try_from(*count).unwrap_or(i64::MAX),
    };
    Profile {
        samples: report.data.iter().map(of).collect(),
        frequency: report.timing.frequency.max(1).into(),
        began: report.timing.start_time,
        lasted: report.timing.duration,
    }
}

fn frame(symbol: &pprof::Symbol) -> Frame {
    Frame {
        function: symbol.name(),
        symbol: symbol.sys_name().into_owned(),
        file: symbol.filename().into_owned(),
        line: symbol.lineno().into(),
    }
}
